/* test - what each *_test.c includes first: cmocka, in the order that it wants. */
#ifndef SPANWIRE_BASE_TEST_H
#define SPANWIRE_BASE_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"

#endif

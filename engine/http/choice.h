/*
 * choice - is a request part of the decrypted copy? By its host and its path, as the client asked.
 */
#ifndef SPANWIRE_ENGINE_HTTP_CHOICE_H
#define SPANWIRE_ENGINE_HTTP_CHOICE_H

#include <stdbool.h>

#include "net/http1.h"

struct plain_rules;

/* The request head H stands at IN. A host is compared without its port and without regard to case, a path as it is written. */
bool choice_fits(const struct plain_rules *r, const struct http1_head *h, const char *in);

#endif

/*
 * expression - a filter of packets as tcpdump writes it: is it one?
 *
 * libpcap would ask name servers for hosts and networks that it is told by name, and whoever asked waited: the core for every
 * answer, and each engine might get another one. They are refused. Names of ports and protocols are in files, and may be used.
 */
#ifndef SPANWIRE_CONTROLLER_CAPTURE_EXPRESSION_H
#define SPANWIRE_CONTROLLER_CAPTURE_EXPRESSION_H

#include "base/err.h"

/* -EINVAL with a sentence. */
int expression_check(const char *text, struct err *e);

#endif

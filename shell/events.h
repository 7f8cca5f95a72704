/*
 * events - what happened, and what was asked of a virtual service: the newest of it, oldest first, as one reads.
 */
#ifndef SPANWIRE_SHELL_EVENTS_H
#define SPANWIRE_SHELL_EVENTS_H

#include "shell/session.h"

/* [NUMBER] of them; those about an object with that NAME. */
int events_show(struct session *s, const char *const *words, size_t n, struct err *e);
/* NAME [NUMBER]: requests of a virtual service, or, where it has none, its connections. */
int events_logs(struct session *s, const char *const *words, size_t n, struct err *e);

#endif

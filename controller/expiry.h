/*
 * expiry - certificates whose end is near are told in time.
 *
 * An event SSL_CERT_EXPIRE when a certificate has fewer days left than a number of
 * controllerproperties.ssl_certificate_expiry_warning_days (30, 7 and 1 when nothing is set), and one when it has
 * expired: each once, also across restarts. Looked at each hour, and when a certificate was written.
 */
#ifndef SPANWIRE_CONTROLLER_EXPIRY_H
#define SPANWIRE_CONTROLLER_EXPIRY_H

#include <stdint.h>

#include "controller/store/store.h"

/* Values of the store: uuid -> what was told last. */
#define EXPIRY_SPACE "expiry"

struct controller;
struct expiry;

struct expiry *expiry_open(struct controller *c);
/* NULL is legal. */
void expiry_close(struct expiry *x);

/* What is to be told at NOW_US, and was not. */
void expiry_look(struct store *s, uint64_t now_us);

#endif

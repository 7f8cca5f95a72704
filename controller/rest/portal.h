/*
 * portal - the certificate that the API shows: the controller's own, or the one that an operator put in its place.
 *
 * GnuTLS asks for it at each handshake, on the server's thread, and gives no argument along: there is one portal in a process. Who
 * has shaken hands goes on under the one he saw.
 */
#ifndef SPANWIRE_CONTROLLER_REST_PORTAL_H
#define SPANWIRE_CONTROLLER_REST_PORTAL_H

#include <gnutls/abstract.h>

#include "base/err.h"

/* From now on, CHAIN and its KEY, both PEM: what is shown when nothing else is. -EINVAL: they cannot be read. */
int portal_open(const char *chain, const char *key, struct err *e);
/* Another one in its place; CHAIN NULL: our own again. After an error what was shown is shown on. On one thread. */
int portal_show(const char *chain, const char *key, struct err *e);
/* When nobody shakes hands any more. */
void portal_close(void);

/* MHD_OPTION_HTTPS_CERT_CALLBACK. */
int portal_answer(gnutls_session_t session, const gnutls_datum_t *authorities, int authorities_n, const gnutls_pk_algorithm_t *keys,
		  int keys_n, gnutls_pcert_st **chain, unsigned *chain_n, gnutls_privkey_t *key);

#endif

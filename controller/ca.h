/*
 * ca - the controller's own certificate authority.
 *
 * Made at the first start: an ECDSA P-256 key and a self-signed certificate.
 * It signs two sorts of certificates: the controller's server certificate (for
 * REST and for the engine port; addresses and names of this host are in its
 * SAN, and it is renewed at a start when these changed or it is near its end), and one
 * client certificate per engine, from the CSR that the engine sends at
 * enrolment; its CN is the engine's uuid.
 *
 * Files in the data folder, all PEM: ca.key and server.key (mode 0600), ca.pem,
 * server.pem (server certificate only; its chain is ca.pem).
 * An engine knows the CA by its fingerprint, which its enrolment token carries.
 */
#ifndef SPANWIRE_CONTROLLER_CA_H
#define SPANWIRE_CONTROLLER_CA_H

#include "base/err.h"

struct ca;

#define CA_FINGERPRINT_LEN 64

/*
 * EXTRA (may be NULL): one more address or name for the server certificate, such as the --listen
 * address.
 */
int ca_open(const char *dir, const char *extra, struct ca **out, struct err *e);
void ca_close(struct ca *ca);

/* SHA-256 of the CA certificate's DER form, lower-case hex. */
const char *ca_fingerprint(const struct ca *ca);
/* PEM texts, borrowed. */
const char *ca_pem(const struct ca *ca);
const char *ca_server_pem(const struct ca *ca);
const char *ca_server_key_pem(const struct ca *ca);

/*
 * Sign the key of a CSR for an engine. The CSR's own subject and extensions are ignored: the
 * certificate says CN and clientAuth, and nothing else that the engine might have wished for. Valid
 * for ten years: an engine is shut out by deleting its serviceengine object. Caller frees
 * *CERT_PEM. -EINVAL: not a CSR, its signature is wrong (the sender does not hold the key), or the
 * key is too weak.
 */
int ca_sign_csr(struct ca *ca, const char *csr_pem, const char *cn, char **cert_pem, struct err *e);

#endif

/*
 * certificate - keys and certificates as objects hold them: read, judged, made.
 *
 * What stands in the fields of an SSLCertificate beside the PEM text is read from it here.
 * Reading a stranger's PEM, opening a key by its pass phrase and making an RSA key are slow: they are
 * done on the pool (controller/rest/certificate.c). certificate_prepare() and certificate_read()
 * remember what they did last, so that the core, which asks the same again inside the transaction, does
 * not wait. Any thread may call everything here.
 *
 * Refused: what is no certificate or no key, a key that does not belong to its certificate, RSA
 * below 2,048 bits and signatures with MD5 or SHA-1 (OpenSSL's security level would refuse to serve
 * them, and clients to believe them), keys that are neither RSA nor on P-256, P-384 or P-521. Accepted, and
 * told by expiry_status and an event: expired ones, and those that are not good yet.
 */
#ifndef SPANWIRE_CONTROLLER_CERTIFICATE_H
#define SPANWIRE_CONTROLLER_CERTIFICATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

/*
 * A body on its way to become an sslkeyandcertificate, as it was sent. What comes
 * in another form becomes PEM (envelope.h). A key is opened by its pass phrase and written as PKCS #8. Without a certificate, but with a subject: a key is made (unless one
 * came) and a certificate that signs itself (self_signed), or a signing request. Without either
 * nothing is done. OLD: the body of the object that it replaces, or NULL; when that has what is asked for (names, kind of key,
 * life), it keeps it. -EINVAL with the path of the field.
 */
int certificate_prepare(json_t *wire, const json_t *old, struct err *e);
/* The first half of it: what came in another form, or locked, is open. */
int certificate_open(json_t *wire, struct err *e);

/*
 * Fields of an SSLCertificate from the first certificate in PEM: version, serial number, subject ... New
 * reference. -EINVAL.
 */
int certificate_read(const char *pem, json_t **facts, struct err *e);
/* Does the key belong to the first certificate? -EINVAL with path "key". */
int certificate_owns(const char *pem, const char *key, struct err *e);

/* May the first certificate sign others? Then it is an authority's. */
bool certificate_is_authority(const char *pem);
/* Of the first certificate. -1: none. */
int64_t certificate_days_left(const char *not_after, uint64_t now_us);
/* Is SUBJECT's certificate signed by ISSUER's? */
bool certificate_is_issued_by(const char *pem, const char *issuer_pem);

/* A self-signed certificate made again, with the same key, names and life. Caller frees. */
int certificate_renew(const char *pem, const char *key, char **out, struct err *e);

/* For those that a fresh controller has: BY NULL: itself. USAGE: "CA" or "server". Caller frees. */
struct certificate_pair {
	char *certificate, *key;
};
void certificate_pair_make(struct certificate_pair *out, const char *cn, const char *usage, bool rsa,
			   const struct certificate_pair *by);
void certificate_pair_fini(struct certificate_pair *p);

#endif

/*
 * envelope - the other forms in which keys and certificates come: base64, DER, PKCS #12. All become PEM.
 */
#ifndef SPANWIRE_CONTROLLER_ENVELOPE_H
#define SPANWIRE_CONTROLLER_ENVELOPE_H

#include "base/err.h"
#include "base/json.h"

/*
 * WIRE, a body on its way to become an sslkeyandcertificate, as `format`, `key_base64` and `certificate_base64` say. What
 * is PEM already is taken as it is, whatever they say: what was read is written back. A PKCS #12 file is the text of `key`, or else
 * of `certificate.certificate`; the chain in it goes behind its certificate. -EINVAL with the path of the field. Slow: a pass phrase
 * takes time.
 */
int envelope_open(json_t *wire, struct err *e);

#endif

/*
 * revocation - lists of revoked certificates (CRLs), as objects hold them.
 */
#ifndef SPANWIRE_CONTROLLER_REVOCATION_H
#define SPANWIRE_CONTROLLER_REVOCATION_H

#include "base/err.h"
#include "base/json.h"

/*
 * What the one list in PEM says: common_name and distinguished_name of its issuer, last_update, next_update (absent: it
 * does not say). New reference. -EINVAL: it is none, there is more than one, or its dates are not dates.
 */
int revocation_read(const char *pem, json_t **facts, struct err *e);

#endif

/* tls - what services and pools demand of the certificates that they name; for the rules of both. */
#ifndef SPANWIRE_CONTROLLER_RULES_TLS_H
#define SPANWIRE_CONTROLLER_RULES_TLS_H

#include "controller/change.h"

/* What VS, or POOL, names is there, is a certificate with its key, and fits its other settings. -EINVAL: ERR has the field. */
int rule_tls_of_service(struct change *c, const json_t *vs, struct err *e);
int rule_tls_of_pool(struct change *c, const json_t *pool, struct err *e);

#endif

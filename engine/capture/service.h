/*
 * service - what captures ask of the objects that a virtual service is made of.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_SERVICE_H
#define SPANWIRE_ENGINE_CAPTURE_SERVICE_H

#include <stdbool.h>

#include "base/ipset.h"

struct link;

/* Addresses of its servers: a monitor checks one for whoever has it, and whose its packets are, the server tells. Sealed. */
struct ipset service_servers(const struct link *k, const char *uuid);
/* TLS ends or begins here, with clients or with servers. */
bool service_speaks_tls(const struct link *k, const char *uuid);

#endif

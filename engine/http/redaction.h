/*
 * redaction - values of header fields, and of parameters in a query, that logs and the flight recorder do not show.
 *
 * Which they are, the service's analytics profile says (sensitive_log_profile): by name, taken out, or with stars in their place.
 * Credentials and cookies are never shown, whatever it says.
 */
#ifndef SPANWIRE_ENGINE_HTTP_REDACTION_H
#define SPANWIRE_ENGINE_HTTP_REDACTION_H

#include <stddef.h>

#include "base/arena.h"

struct sensitive_log_profile;
struct redaction;

enum redaction_how { REDACTION_NONE, REDACTION_STARS, REDACTION_GONE };

#define REDACTION_TEXT "***"

/* What W says, in A, where W lives at least as long; NULL: nothing. Before A goes: redaction_fini(). */
struct redaction *redaction_new(const struct sensitive_log_profile *w, struct arena *a);
void redaction_fini(struct redaction *v);

/* How the value of the header field NAME is shown. V may be NULL. */
enum redaction_how redaction_header(const struct redaction *v, const char *name, size_t n);
/*
 * The query of *N bytes as it may be shown; what hides nothing comes back as it is. Else valid until the next call of this
 * thread, and cut where it is too long.
 */
const char *redaction_query(const struct redaction *v, const char *query, size_t *n);

#endif

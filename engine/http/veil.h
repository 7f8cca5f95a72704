/*
 * veil - what of a request is nobody's business: values of header fields, and of parameters in a query, that logs and the
 * flight recorder do not show.
 *
 * What it is, the service's analytics profile says (sensitive_log_profile): by name, taken out, or with stars in its place.
 * Credentials and cookies are never shown, whatever it says.
 */
#ifndef SPANWIRE_ENGINE_HTTP_VEIL_H
#define SPANWIRE_ENGINE_HTTP_VEIL_H

#include <stddef.h>

#include "base/arena.h"

struct sensitive_log_profile;
struct veil;

enum veil_how { VEIL_SHOWN, VEIL_STARS, VEIL_GONE };

#define VEIL_TEXT "***"

/* What W says, in A, where W lives at least as long; NULL: nothing. Before A goes: veil_fini(). */
struct veil *veil_build(const struct sensitive_log_profile *w, struct arena *a);
void veil_fini(struct veil *v);

/* How the value of the header field NAME is shown. V may be NULL. */
enum veil_how veil_header(const struct veil *v, const char *name, size_t n);
/*
 * The query of *N bytes as it may be shown; what hides nothing comes back as it is. Else valid until the next call of this
 * thread, and cut where it is too long.
 */
const char *veil_query(const struct veil *v, const char *query, size_t *n);

#endif

/*
 * TLS of the configuration: profiles and certificates become contexts; what they are made of is
 * remembered, so that a change of it makes them anew, and what did not change stays.
 */
#include "base/base.h"
#include "base/log.h"
#include "engine/config/parts.h"
#include "engine/tls/secure.h"
#include "engine/tls/profile.h"

#define TLS_IDENTITIES 64 /* certificates of one service */

/* Objects that TLS is made of, for a service or a pool, which remember what was asked for. */
struct tls_lookup {
	struct tls_source source;
	struct config *config;
	struct needs *asked;       /* borrowed */
	struct arena arena;
};

static const void *tls_get_object(struct tls_source *source, const char *kind, const char *uuid)
{
	struct tls_lookup *l = CONTAINER_OF(source, struct tls_lookup, source);

	return object_is(needs_add(l->asked, &l->config->objects, kind, uuid));
}

/* WHAT NULL: none. What is the same stays. */
static void tls_make(struct config *c, const struct secure_what *what, struct secure **at, const char *who)
{
	struct secure *new = NULL;
	struct err e = { 0 };

	if (what && secure_new(what, c->n_workers, *at, &new, &e) < 0)
		log_error("tls_unusable name=%s reason=\"%s\"", who, err_line(&e));
	secure_put(*at);
	*at = new;
}

void config_tls_servers(struct config *c, struct pool_entry *p, const struct pool *pool)
{
	struct tls_lookup l = { .source = { tls_get_object }, .config = c, .asked = &p->tls_needs };
	struct tls_identity id;
	struct secure_what what = { .settings = { .identities = &id }, .scope = p->uuid, .sni = pool->sni_enabled };
	struct tls_settings *t = &what.settings;
	bool wanted = pool->ssl_profile_ref && *pool->ssl_profile_ref;

	needs_clear(&p->tls_needs, &c->objects);
	if (wanted) {
		tls_profile_ssl(t, tls_get_object(&l.source, "sslprofile", pool->ssl_profile_ref), &l.arena);
		tls_profile_pki(t, tls_get_object(&l.source, "pkiprofile", pool->pki_profile_ref), &l.arena);
		/* Who cannot be verified is not believed either. */
		what.broken = pool->pki_profile_ref && *pool->pki_profile_ref && !t->verify;
		t->n_identities = tls_profile_identity(&id,
						       tls_get_object(&l.source, "sslkeyandcertificate",
								      pool->ssl_key_and_certificate_ref),
						       &l.source, &l.arena);
		if (pool->server_name && *pool->server_name)
			what.server_name = pool->server_name;
		if (pool->host_check_enabled && pool->domain_name_n) {
			t->hosts = pool->domain_name;
			t->n_hosts = pool->domain_name_n;
		} else if (pool->host_check_enabled && what.server_name) {
			t->hosts = &what.server_name;
			t->n_hosts = 1;
		}
	}
	tls_make(c, wanted ? &what : NULL, &p->tls, pool->name);
	arena_fini(&l.arena);
}

/* How the HTTPS monitor M speaks TLS; in A for as long as the user is told. */
const struct tls_settings *config_tls_monitor(struct config *c, struct pool_entry *p, const struct health_monitor *m,
					      struct arena *a)
{
	const struct health_monitor_ssl_attributes *ssl = m->https_monitor ? m->https_monitor->ssl_attributes : NULL;
	struct tls_lookup l = { .source = { tls_get_object }, .config = c, .asked = &p->monitor_needs, .arena = *a };
	struct tls_settings *t;
	struct tls_identity *id;

	if (m->type != HEALTH_MONITOR_HTTPS || !ssl)
		return NULL;
	t = arena_get(&l.arena, sizeof(*t));
	id = arena_get(&l.arena, sizeof(*id));
	tls_profile_ssl(t, tls_get_object(&l.source, "sslprofile", ssl->ssl_profile_ref), &l.arena);
	tls_profile_pki(t, tls_get_object(&l.source, "pkiprofile", ssl->pki_profile_ref), &l.arena);
	/* Who cannot be verified is not believed either. */
	t->verify |= ssl->pki_profile_ref && *ssl->pki_profile_ref;
	t->identities = id;
	t->n_identities = tls_profile_identity(id, tls_get_object(&l.source, "sslkeyandcertificate",
								  ssl->ssl_key_and_certificate_ref),
					       &l.source, &l.arena);
	if (t->verify && ssl->server_name && *ssl->server_name) {
		t->hosts = &ssl->server_name;
		t->n_hosts = 1;
	}
	*a = l.arena;
	return t;
}

void config_tls_clients(struct config *c, struct service_entry *s, const struct virtual_service *vs)
{
	struct tls_lookup l = { .source = { tls_get_object }, .config = c, .asked = &s->more };
	struct tls_identity ids[TLS_IDENTITIES];
	struct secure_what what = { .settings = { .server = true, .identities = ids }, .scope = s->uuid };
	size_t n = 0;

	for (size_t i = 0; i < vs->ssl_key_and_certificate_refs_n && n < ARRAY_SIZE(ids); i++)
		n += tls_profile_identity(&ids[n],
					  tls_get_object(&l.source, "sslkeyandcertificate",
							  vs->ssl_key_and_certificate_refs[i]),
					  &l.source, &l.arena);
	what.settings.n_identities = n;
	tls_profile_ssl(&what.settings, tls_get_object(&l.source, "sslprofile", vs->ssl_profile_ref), &l.arena);
	tls_make(c, n ? &what : NULL, &s->clients_tls, vs->name);
	arena_fini(&l.arena);
}

#include "controller/rest/rest.h"

#include <errno.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "controller/ca.h"
#include "controller/resolve.h"
#include "controller/rest/handlers.h"
#include "controller/rest/portal.h"
#include "controller/rest/server.h"
#include "controller/rest/upload.h"
#include "controller/rest/user_token.h"

enum { SWEEP_MS = 5000, STOP_MS = 10000, SEND_MS = 2000 };

static void sweep(struct timer *t)
{
	struct rest *r = CONTAINER_OF(t, struct rest, sweep);

	server_sweep(r->server);
	timer_in(r->c->loop, t, SWEEP_MS, sweep);
}

static const json_t *certificate_of(struct store *s, const char *ref, const char **uuid)
{
	const struct object *o = ref ? store_get(s, "sslkeyandcertificate", ref_target(ref)) : NULL;

	*uuid = o ? o->uuid : "";
	return o ? o->body : NULL;
}

/* What the first certificate of the portal is by now, with its chain; the controller's own when there is none. */
static void portal_follow(struct rest *r)
{
	const struct object *config = store_get(r->c->store, "systemconfiguration", "default");
	const json_t *portal = config ? json_object_get(config->body, "portal_configuration") : NULL;
	const char *ref = json_string_value(json_array_get(json_object_get(portal, "sslkeyandcertificate_refs"), 0)), *uuid, *other;
	const json_t *c = certificate_of(r->c->store, ref, &uuid);
	struct buf chain = BUF_INIT;
	struct err e = { 0 };
	json_t *up;
	size_t i;

	/* Nearly always. */
	if (!c && !*r->portal)
		return;
	snprintf(r->portal, sizeof(r->portal), "%s", uuid);
	buf_printf(&chain, "%s\n", json_str(json_object_get(c, "certificate"), "certificate", ""));
	json_array_foreach(json_object_get(c, "ca_certs"), i, up)
		buf_printf(&chain, "%s\n",
			   json_str(json_object_get(certificate_of(r->c->store, json_str(up, "ca_ref", NULL), &other), "certificate"),
				    "certificate", ""));
	if (portal_show(c ? buf_cstr(&chain) : NULL, json_str(c, "key", ""), &e) < 0)
		log_error("portal_certificate uuid=%s error=\"%s\"", uuid, e.text);
	else
		log_info("portal_certificate uuid=%s", *uuid ? uuid : "own");
	buf_fini(&chain);
}

/* Sessions follow the configuration: their limits, and that their user exists; files their tenant. */
static void committed(struct store_watch *w, uint64_t revision, const struct store_change *changes,
		      size_t n)
{
	struct rest *r = CONTAINER_OF(w, struct rest, watch);

	(void)revision;
	for (size_t i = 0; i < n; i++) {
		if (changes[i].kind->flags & K_SINGLETON) {
			auth_limits(r);
			portal_follow(r);
		} else if (*r->portal && strcmp(changes[i].kind->path, "sslkeyandcertificate") == 0 &&
			   strcmp(changes[i].uuid, r->portal) == 0)
			portal_follow(r);
		else if (changes[i].deleted && strcmp(changes[i].kind->path, "user") == 0)
			session_drop_user(&r->sessions, changes[i].uuid, NULL);
		else if (changes[i].deleted && strcmp(changes[i].kind->path, "tenant") == 0)
			files_forget(r->files, changes[i].uuid);
	}
}

int rest_start(struct controller *c, int fd, bool ipv6, struct rest **out, struct err *e)
{
	struct rest *r = xcalloc(1, sizeof(*r));
	struct server_config cfg = {
		.fd = fd,
		.ipv6 = ipv6,
		.key_pem = ca_server_key_pem(c->ca),
		.cert_pem = ca_server_pem(c->ca),
		.ca_pem = ca_pem(c->ca),
		.rest = r,
		.core = &c->inbox,
		.handle = route_request,
	};
	int rc;

	r->c = c;
	list_init(&r->unsynced);
	sessions_init(&r->sessions, SESSIONS_MAX);
	password_cache_init(&r->passwords);
	lockout_init(&r->lockout);
	auth_limits(r);
	certificate_actions(r);
	capture_actions(r);
	metrics_views(r);
	rc = files_open(c->data, &r->files, e);
	if (rc == 0)
		rc = user_token_init(r, e);
	if (rc == 0)
		rc = server_start(&cfg, &r->server, e);
	if (rc < 0) {
		files_close(r->files);
		sessions_fini(&r->sessions);
		lockout_fini(&r->lockout);
		free(r);
		return rc;
	}
	portal_follow(r);
	r->watch.committed = committed;
	store_watch(c->store, &r->watch);
	timer_in(c->loop, &r->sweep, SWEEP_MS, sweep);
	*out = r;
	return 0;
}

void rest_stop(struct rest *r)
{
	uint64_t limit = mono_ns() + STOP_MS * NS_PER_MS;

	timer_stop(r->c->loop, &r->sweep);
	server_quiesce(r->server);
	/* A login may be in the pool; everything else is answered in the turn in which it came. */
	while (!server_drained(r->server) && mono_ns() < limit)
		loop_turn(r->c->loop, 20);
	if (!server_drained(r->server)) {
		log_error("rest_stuck text=\"requests are not answered; ending without them\"");
		_exit(1);
	}
	/* Files that are long are cut. */
	for (limit = mono_ns() + SEND_MS * NS_PER_MS; !server_has_sent(r->server) && mono_ns() < limit;)
		loop_turn(r->c->loop, 20);
	server_stop(r->server);
	store_unwatch(r->c->store, &r->watch);
	sessions_fini(&r->sessions);
	lockout_fini(&r->lockout);
	files_close(r->files);
	explicit_bzero(r, sizeof(*r));
	free(r);
}

#include "controller/expiry.h"

#include <stdlib.h>

#include "base/base.h"
#include "base/log.h"
#include "controller/audit.h"
#include "controller/certificate.h"
#include "controller/controller.h"

#define LOOK_MS 3600000
#define EXPIRED (-1)

static const char space[] = EXPIRY_SPACE;
static const char kind[] = "sslkeyandcertificate";

struct expiry {
	struct controller *c;
	struct timer timer;
	struct store_watch watch;
};

/* ---- telling --------------------------------------------------------------------- */

struct look {
	struct store *s;
	uint64_t now_us;
	json_t *days;
	struct txn *txn;
	json_t *due; /* uuid -> what will have been told */
};

/* The lowest warning that LEFT days are below; INT64_MAX: none is due. */
static int64_t warning_due(const json_t *days, int64_t left)
{
	static const int64_t usual[] = { 30, 7, 1 };
	size_t n = json_array_size(days);
	int64_t due = INT64_MAX;

	if (left < 0)
		return EXPIRED;
	for (size_t i = 0; i < (n ? n : ARRAY_SIZE(usual)); i++) {
		int64_t d = n ? json_integer_value(json_array_get(days, i)) : usual[i];

		if (left < d)
			due = MIN(due, d);
	}
	return due;
}

static int look_at(void *arg, const struct object *o)
{
	struct look *l = arg;
	const json_t *cert = json_object_get(o->body, "certificate");
	const char *end = json_str(cert, "not_after", ""), *print = json_str(cert, "fingerprint", "");
	int64_t left = certificate_days_left(end, l->now_us), due;
	CLEANUP_FREE char *told = NULL, *now = NULL;
	char when[48];

	if (!*end)
		return 0;
	due = warning_due(l->days, left);
	if (due == INT64_MAX)
		return 0;
	told = store_value(l->s, space, o->uuid);
	now = xasprintf("%s %lld", print, (long long)due);
	if (told && strncmp(told, print, strlen(print)) == 0 && strtoll(told + strlen(print), NULL, 10) <= due)
		return 0;
	json_object_set_new(l->due, o->uuid, json_string(now));
	if (left < 0)
		snprintf(when, sizeof(when), "has expired");
	else
		snprintf(when, sizeof(when), "expires in %lld days", (long long)left);
	txn_event(l->txn,
		  audit_event("SSL_CERT_EXPIRE", "CERT", kind, o->uuid, o->name, o->tenant,
			      json_pack("{s:{s:s, s:s, s:I}}", "ssl_expire_details", "name", o->name, "expiry_date", end,
					"days_left", (json_int_t)MAX(left, (int64_t)0)),
			      "Certificate %s %s (%s UTC).", o->name, when, end));
	return 0;
}

void expiry_look(struct store *s, uint64_t now_us)
{
	const struct object *o = store_get(s, "controllerproperties", "global");
	CLEANUP_JSON json_t *days =
		o ? json_incref(json_object_get(o->body, "ssl_certificate_expiry_warning_days")) : NULL;
	CLEANUP_JSON json_t *due = json_object();
	struct look l = { .s = s, .now_us = now_us, .days = days, .due = due };
	struct err e = { 0 };
	const char *uuid;
	json_t *told;
	int rc = 0;

	l.txn = txn_begin(s);
	store_each(s, kind, look_at, &l);
	if (!json_object_size(due)) {
		txn_abort(l.txn);
		return;
	}
	json_object_foreach(due, uuid, told)
		if (rc == 0)
			rc = txn_set(l.txn, space, uuid, json_string_value(told), &e);
	if (txn_commit(l.txn, NULL, &e) < 0)
		log_error("expiry_not_told reason=\"%s\"", err_line(&e));
}

static void look_now(struct timer *t)
{
	struct expiry *x = CONTAINER_OF(t, struct expiry, timer);

	expiry_look(x->c->store, wall_us());
	timer_in(x->c->loop, &x->timer, LOOK_MS, look_now);
}

static void committed(struct store_watch *w, uint64_t revision, const struct store_change *changes, size_t n)
{
	struct expiry *x = CONTAINER_OF(w, struct expiry, watch);

	(void)revision;
	for (size_t i = 0; i < n; i++)
		if (strcmp(changes[i].kind->path, kind) == 0 ||
		    strcmp(changes[i].kind->path, "controllerproperties") == 0)
			timer_in(x->c->loop, &x->timer, 0, look_now);
}

struct expiry *expiry_open(struct controller *c)
{
	struct expiry *x = xcalloc(1, sizeof(*x));

	x->c = c;
	x->watch.committed = committed;
	store_watch(c->store, &x->watch);
	timer_in(c->loop, &x->timer, 0, look_now);
	return x;
}

void expiry_close(struct expiry *x)
{
	if (!x)
		return;
	timer_stop(x->c->loop, &x->timer);
	store_unwatch(x->c->store, &x->watch);
	free(x);
}

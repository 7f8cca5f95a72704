/*
 * debugvirtualservice, debugserviceengine: `capture` makes a capture object, in the same transaction, and ends it. While one runs, what it
 * captures stays what it is.
 */
#include <errno.h>

#include "base/base.h"
#include "base/moment.h"
#include "controller/capture/expression.h"
#include "controller/resolve.h"
#include "controller/rules.h"

/* What a capture takes over. */
static const char *const taken_over[] = { "capture_params", "debug_ip", "capture_filters", "capture_pkt_filter", "capture_expression",
					  "debug_hm", "seconds_before", "seconds_after", "request_id" };

struct running {
	const char *owner, *uuid; /* of a virtual service or an engine */
};

static int of_service(void *arg, const struct object *o)
{
	struct running *r = arg;

	if (!json_bool(o->body, "running", false) || (strcmp(ref_target(json_str(o->body, "virtualservice_ref", "")), r->owner) != 0 &&
						      strcmp(ref_target(json_str(o->body, "serviceengine_ref", "")), r->owner) != 0))
		return 0;
	r->uuid = o->uuid;
	return 1;
}

/* The uuid of the capture of OWNER that runs; NULL: none. */
static const char *running_of(struct change *c, const char *owner)
{
	struct running r = { .owner = owner };

	store_each(c->store, "capture", of_service, &r);
	return r.uuid;
}

/* ---- what was asked for, in words ---- */

static void say_addresses(struct buf *b, const char *what, const json_t *ip)
{
	const json_t *one;
	bool first = true;
	size_t i;

	if (!json_array_size(json_object_get(ip, "addrs")) && !json_array_size(json_object_get(ip, "prefixes")) &&
	    !json_array_size(json_object_get(ip, "ranges")))
		return;
	buf_printf(b, "%s%s %s", b->len ? ", " : "", what,
		   strcmp(json_str(ip, "match_operation", "IS_IN"), "IS_IN") == 0 ? "" : "other than ");
	json_array_foreach(json_object_get(ip, "addrs"), i, one) {
		buf_printf(b, "%s%s", first ? "" : " ", json_str(one, "addr", ""));
		first = false;
	}
	json_array_foreach(json_object_get(ip, "prefixes"), i, one) {
		buf_printf(b, "%s%s/%lld", first ? "" : " ", json_str(json_object_get(one, "ip_addr"), "addr", ""),
			   (long long)json_int(one, "mask", 0));
		first = false;
	}
	json_array_foreach(json_object_get(ip, "ranges"), i, one) {
		buf_printf(b, "%s%s-%s", first ? "" : " ", json_str(json_object_get(one, "begin"), "addr", ""),
			   json_str(json_object_get(one, "end"), "addr", ""));
		first = false;
	}
}

static char *filter_text(const json_t *debug)
{
	struct buf b = BUF_INIT;
	const char *expression = json_str(debug, "capture_expression", ""), *hm = json_str(debug, "debug_hm", "DEBUG_VS_HM_NONE");
	char *text;

	say_addresses(&b, "connections of", json_object_get(debug, "debug_ip"));
	if (json_object_get(debug, "capture_filters"))
		buf_printf(&b, "%scapture_filters", b.len ? ", " : "");
	if (json_object_get(debug, "capture_pkt_filter"))
		buf_printf(&b, "%scapture_pkt_filter", b.len ? ", " : "");
	if (*expression)
		buf_printf(&b, "%s%s", b.len ? ", " : "", expression);
	if (strcmp(hm, "DEBUG_VS_HM_INCLUDE") == 0)
		buf_printf(&b, "%shealth monitors too", b.len ? ", " : "");
	if (strcmp(hm, "DEBUG_VS_HM_ONLY") == 0)
		buf_printf(&b, "%shealth monitors only", b.len ? ", " : "");
	text = xstrndup(b.len ? b.data : "", MIN(b.len, (size_t)2000));
	buf_fini(&b);
	return text;
}

/* ---- it begins and ends ---- */

static void warn_without_limits(struct change *c, const json_t *params)
{
	const json_t *size = json_object_get(params, "capture_file_size");

	if (json_int(params, "num_pkts", 0) || json_int(params, "duration", 0) || json_int(params, "duration_seconds", 0) ||
	    json_int(params, "max_packets", 0) || json_int(size, "absolute_size", 0) || json_int(size, "percentage_size", 0))
		return;
	change_warn(c, "capture: it has no limit of its own, and ends when its budget, a share of the free disk "
		       "(controllerproperties.capture_disk_percent), is used up.");
}

static bool is_service(const struct object *owner)
{
	return strcmp(owner->kind->path, "virtualservice") == 0;
}

/* What an engine sees is of all tenants. */
static const char *tenant_of(const struct object *owner)
{
	return is_service(owner) && *owner->tenant ? owner->tenant : TENANT_ADMIN;
}

/* "vs_shop.20261122_192033"; of the same second a number is behind it. */
static char *name_of(struct change *c, const struct object *owner, uint64_t now_us)
{
	char stamp[MOMENT_MAX];
	char *name;

	moment_text(now_us, MOMENT_IN_NAME, stamp);
	name = xasprintf("%s_%.200s.%s", is_service(owner) ? "vs" : "se", owner->name, stamp);
	for (unsigned n = 2; store_find(c->store, "capture", tenant_of(owner), NULL, name); n++) {
		free(name);
		name = xasprintf("%s_%.200s.%s_%u", is_service(owner) ? "vs" : "se", owner->name, stamp, n);
	}
	return name;
}

/* Of the engine's `flags`, those that are about packets. */
static json_t *kinds_of(const struct object *owner, const json_t *debug)
{
	static const char *const kinds[] = { "DEBUG_PCAP_RX", "DEBUG_PCAP_TX", "DEBUG_PCAP_DROP" };
	bool chosen[ARRAY_SIZE(kinds)] = { false };
	json_t *out = json_array(), *flag;
	size_t i;

	if (is_service(owner))
		return out;
	json_array_foreach(json_object_get(debug, "flags"), i, flag) {
		const char *word = json_str(flag, "flag", "");

		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
			chosen[k] |= strcmp(word, kinds[k]) == 0 || strcmp(word, "DEBUG_PCAP_ALL") == 0;
	}
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		if (chosen[k])
			json_array_append_new(out, json_string(kinds[k]));
	return out;
}

/* What would be thrown away when it ends is not begun. */
static int keeps_some(struct change *c, struct err *e)
{
	const struct object *o = store_get(c->store, "controllerproperties", "global");

	if (!o || json_int(o->body, "max_pcap_per_tenant", 1) > 0)
		return 0;
	return err_set(e, -EINVAL, NULL, "No capture can begin: none is kept, because controllerproperties.max_pcap_per_tenant is 0.");
}

/* MADE: its uuid; may be NULL. */
static int begin(struct change *c, const struct object *owner, const json_t *debug, char *made, struct err *e)
{
	const json_t *se = json_object_get(json_object_get(debug, "se_params"), "se_refs"), *one;
	const json_t *params = json_object_get(debug, "capture_params");
	uint64_t now = wall_us();
	CLEANUP_FREE char *name = name_of(c, owner, now), *filter = filter_text(debug);
	CLEANUP_JSON json_t *w = NULL;
	bool internal = c->by.internal;
	json_t *only = json_array();
	char uuid[UUID_MAX] = "", stamp[MOMENT_MAX];
	size_t i;
	int rc;

	rc = keeps_some(c, e);
	if (rc < 0) {
		json_decref(only);
		return rc;
	}
	moment_text(now, MOMENT_MICROS, stamp);
	json_array_foreach(se, i, one)
		json_array_append_new(only, json_string(ref_target(json_string_value(one))));
	w = json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:o}", "name", name,
		      is_service(owner) ? "virtualservice_name" : "serviceengine_name", owner->name, "running", 1, "user",
		      c->by.user, "reason", json_str(debug, "capture_reason", ""), "filter", filter, "started", stamp, "only_engines",
		      only);
	json_object_set_new(w, "tenant_ref", json_sprintf("/api/tenant/%s", tenant_of(owner)));
	json_object_set_new(w, is_service(owner) ? "virtualservice_ref" : "serviceengine_ref",
			    json_sprintf("/api/%s/%s", owner->kind->path, owner->uuid));
	json_object_set_new(w, "packet_kinds", kinds_of(owner, debug));
	json_object_set_new(w, "file_name", json_sprintf("%s.pcap", name)); /* of both forms, as the manual's: readers look inside */
	for (i = 0; i < ARRAY_SIZE(taken_over); i++)
		if (json_object_get(debug, taken_over[i]))
			json_object_set(w, taken_over[i], json_object_get(debug, taken_over[i]));
	if (json_bool(params, "enable_ssl_session_key_capture", false)) {
		/* What was cut nobody can decrypt. */
		CLEANUP_JSON json_t *whole = json_copy((json_t *)params);

		json_object_set_new(whole, "pkt_size", json_integer(0));
		json_object_set(w, "capture_params", whole);
	}
	if (*json_str(debug, "trigger", ""))
		json_object_set(w, "trigger", json_object_get(debug, "trigger"));
	if (!json_int(debug, "seconds_before", 0))
		warn_without_limits(c, params);
	c->by.internal = true; /* clients make none by themselves */
	rc = change_create(c, kind_find("capture"), w, uuid, e);
	c->by.internal = internal;
	if (rc == 0 && made)
		snprintf(made, UUID_MAX, "%s", uuid);
	return rc;
}

/* Whoever reads what was encrypted could as well have the keys of the certificates. */
static int may_have_keys(struct change *c, const struct object *owner, const json_t *debug, struct err *e)
{
	const json_t *params = json_object_get(debug, "capture_params");

	if (!owner || !c->by.viewer || !capture_reads_tls(params))
		return 0;
	return access_may(c->by.viewer, GUARD_ssl_key_and_certificate, tenant_of(owner), ACCESS_WRITE, e);
}

bool capture_reads_tls(const json_t *params)
{
	return json_bool(params, "enable_ssl_session_key_capture", false) || json_bool(params, "plaintext", false);
}

/* Classic files have neither interfaces nor secrets. */
static int fits_format(const struct object *owner, const json_t *params, struct err *e)
{
	if (json_bool(params, "plaintext", false) && owner && !is_service(owner))
		return err_set(e, -EINVAL, "capture_params.plaintext", "Plaintext is of a virtual service: an engine as a whole has none.");
	if (json_bool(params, "pcap_ng", true))
		return 0;
	if (json_bool(params, "plaintext", false))
		return err_set(e, -EINVAL, "capture_params.plaintext", "Plaintext is an interface of its own, which pcap has not: pcap_ng is wanted.");
	if (json_bool(params, "enable_ssl_session_key_capture", false))
		return err_set(e, -EINVAL, "capture_params.enable_ssl_session_key_capture",
			       "TLS secrets have no place in a file of pcap: pcap_ng is wanted.");
	return 0;
}

static int end(struct change *c, const char *uuid, struct err *e)
{
	const struct object *o = store_get(c->store, "capture", uuid);
	CLEANUP_JSON json_t *w = json_deep_copy(o->body);
	CLEANUP_FREE char *own = xstrdup(uuid);
	bool internal = c->by.internal;
	int rc;

	json_object_set_new(w, "running", json_false());
	json_object_set_new(w, "ended_by", json_string("stopped"));
	c->by.internal = true;
	rc = change_update(c, o->kind, own, w, 0, e);
	c->by.internal = internal;
	return rc;
}

/* What began by itself is no reason to refuse what somebody asks for. */
static bool gives_way(struct change *c, const char *uuid)
{
	const struct object *o = store_get(c->store, "capture", uuid);

	return o && *json_str(o->body, "trigger", "");
}

int rule_capture_past(struct change *c, const struct object *vs, const struct capture_past *p, char made[static UUID_MAX],
		      struct err *e)
{
	const char *running = running_of(c, vs->uuid);
	CLEANUP_JSON json_t *want = json_pack("{s:i, s:i, s:s, s:s, s:s, s:{s:i, s:b}}", "seconds_before", (int)p->before, "seconds_after",
					      (int)p->after, "request_id", p->request_id, "trigger", p->trigger, "capture_reason",
					      p->reason, "capture_params", "pkt_size", 0, "plaintext", p->plaintext);

	if (running && (*p->trigger || !gives_way(c, running)))
		return err_set(e, -EBUSY, NULL, "A capture of this virtual service runs (%s): end it before its past is saved.", running);
	if (running && end(c, running, e) < 0)
		return e->code;
	return begin(c, vs, want, made, e);
}

/* The rights were asked of debugserviceengine; whoever may see all packets of an engine may make the object of it. */
static int begin_for(struct change *c, const struct object *owner, const json_t *debug, struct err *e)
{
	struct viewer *viewer = c->by.viewer;
	int rc;

	if (!is_service(owner))
		c->by.viewer = NULL;
	rc = begin(c, owner, debug, NULL, e);
	c->by.viewer = viewer;
	return rc;
}

static int check_of(struct change *c, const char *kind, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	const struct object *owner = store_get(c->store, kind, uuid);
	bool was = json_bool(old, "capture", false), is = json_bool(new, "capture", false);
	const char *running = was || is ? running_of(c, uuid) : NULL, *expression = json_str(new, "capture_expression", "");
	struct viewer *viewer = c->by.viewer;
	int rc = 0;

	if (*expression && expression_check(expression, e) < 0)
		return -EINVAL;
	if (is && !was && running && gives_way(c, running)) {
		rc = end(c, running, e);
		if (rc < 0)
			return rc;
		running = NULL;
	}
	if (is && !running && fits_format(owner, json_object_get(new, "capture_params"), e) < 0)
		return -EINVAL;
	if (is && !running && may_have_keys(c, owner, new, e) < 0)
		return -EACCES;
	if (is && !running)
		return owner ? begin_for(c, owner, new, e) : 0;
	for (size_t i = 0; is && i < ARRAY_SIZE(taken_over); i++) {
		const json_t *before = json_object_get(old, taken_over[i]), *after = json_object_get(new, taken_over[i]);

		if (before == after || (before && after && json_equal(before, after)))
			continue;
		return err_set(e, -EBUSY, taken_over[i], "A capture of this %s runs (%s): end it before another one begins.",
			       strcmp(kind, "virtualservice") == 0 ? "virtual service" : "service engine", running);
	}
	if (is || !running)
		return 0;
	if (strcmp(kind, "serviceengine") == 0)
		c->by.viewer = NULL;
	rc = end(c, running, e);
	c->by.viewer = viewer;
	return rc;
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	return check_of(c, "virtualservice", uuid, old, new, e);
}

static int check_engine(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	return check_of(c, "serviceengine", uuid, old, new, e);
}

/* A DELETE brings the defaults back. */
static int leaving(struct change *c, const char *uuid, struct err *e)
{
	const char *running = running_of(c, uuid);

	return running ? end(c, running, e) : 0;
}

const struct rule rule_debugvirtualservice = { .kind = "debugvirtualservice", .check = check, .leaving = leaving };
const struct rule rule_debugserviceengine = { .kind = "debugserviceengine", .check = check_engine, .leaving = leaving };

#include "controller/audit.h"

#include <stdarg.h>

#include "base/base.h"
#include "controller/change.h"
#include "controller/resolve.h"

enum { DIFF_MAX = 64, DATA_MAX = 16 * 1024 };

/* Upper case, as events name kinds. */
static json_t *obj_type(const char *kind)
{
	CLEANUP_FREE char *s = xstrdup(kind);

	for (char *p = s; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p -= 'a' - 'A';
	return json_string(s);
}

json_t *audit_event(const char *id, const char *module, const char *kind, const char *uuid,
		    const char *name, const char *tenant, json_t *details, const char *fmt, ...)
{
	json_t *v = json_pack("{s:s, s:s, s:s, s:s}", "event_id", id, "module", module, "context",
			      strncmp(id, "CONFIG_", 7) == 0 || strncmp(id, "USER_", 5) == 0
				      ? "EVENT_CONTEXT_CONFIG"
				      : "EVENT_CONTEXT_SYSTEM",
			      "internal", "EVENT_EXTERNAL");
	char text[1024];
	va_list ap;
	json_t *s;

	must(v);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s = json_string(text);
	for (size_t n = strlen(text); !s && n; s = json_stringn(text, --n))
		;
	json_object_set_new(v, "event_description", s);
	if (kind)
		json_object_set_new(v, "obj_type", obj_type(kind));
	if (uuid)
		json_object_set_new(v, "obj_uuid", json_string(uuid));
	if (name)
		json_object_set_new(v, "obj_name", json_string(name));
	if (tenant && *tenant)
		json_object_set_new(v, "tenant", json_string(tenant));
	if (details)
		json_object_set_new(v, "event_details", details);
	return v;
}

/* ---- what differs ---------------------------------------------------------- */

static void diff_add(json_t *out, const char *path, const json_t *old, const json_t *new)
{
	json_t *d;

	if (json_array_size(out) >= DIFF_MAX)
		return;
	d = json_pack("{s:s}", "path", path);
	if (old)
		json_object_set(d, "old", (json_t *)old);
	if (new)
		json_object_set(d, "new", (json_t *)new);
	json_array_append_new(out, d);
}

static void diff(json_t *out, const char *path, const json_t *old, const json_t *new)
{
	if (old && new &&json_equal(old, new))
		return;
	if (json_is_object(old) && json_is_object(new)) {
		const char *key;
		json_t *v;

		json_object_foreach((json_t *)old, key, v) {
			CLEANUP_FREE char *sub = xasprintf("%s%s%s", path, *path ? "." : "", key);

			diff(out, sub, v, json_object_get(new, key));
		}
		json_object_foreach((json_t *)new, key, v) {
			CLEANUP_FREE char *sub = xasprintf("%s%s%s", path, *path ? "." : "", key);

			if (!json_object_get(old, key))
				diff_add(out, sub, NULL, v);
		}
		return;
	}
	if (json_is_array(old) && json_is_array(new)) {
		size_t a = json_array_size(old), b = json_array_size(new);

		for (size_t i = 0; i < MAX(a, b); i++) {
			CLEANUP_FREE char *sub = xasprintf("%s[%zu]", path, i);

			diff(out, sub, json_array_get(old, i), json_array_get(new, i));
		}
		return;
	}
	diff_add(out, path, old, new);
}

/* As a reader may see it: no secrets, no defaults. */
static json_t *visible(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	struct model_write w = { .base_url = "", .skip_default = true };
	struct resolver r;

	if (!stored)
		return NULL;
	resolver_init(&r, c->store, c->txn, "*", "");
	return model_write(k, stored, &w, &r.model);
}

json_t *audit_diff(struct change *c, const struct kind_desc *k, const json_t *old, const json_t *new)
{
	CLEANUP_JSON json_t *was = visible(c, k, old), *is = visible(c, k, new);
	json_t *out = json_array();

	diff(out, "", was, is);
	return out;
}

/* Large objects are told by their difference alone: the log is bounded by count, not by size. */
static void data_set(json_t *details, const char *key, const json_t *v)
{
	CLEANUP_FREE char *text = v ? json_text(v) : NULL;

	if (text && strlen(text) <= DATA_MAX)
		json_object_set_new(details, key, json_string(text));
}

void audit_change(struct change *c, const struct kind_desc *k, const char *uuid, const char *tenant,
		  const json_t *old, const json_t *new)
{
	static const char *const verbs[] = { "create", "update", "delete" };
	static const char *const ids[] = { "CONFIG_CREATE", "CONFIG_UPDATE", "CONFIG_DELETE" };
	static const char *const members[] = { "config_create_details", "config_update_details",
					       "config_delete_details" };
	int what = !old ? 0 : new ? 1 : 2;
	CLEANUP_JSON json_t *was = visible(c, k, old), *is = visible(c, k, new);
	const char *name = json_str(new ? new : old, "name", uuid);
	CLEANUP_FREE char *path = what ? xasprintf("/api/%s/%s", k->path, uuid)
				       : xasprintf("/api/%s", k->path);
	json_t *d = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "resource_type", k->msg->name,
			      "resource_name", name, "user", c->by.user, "client_ip", c->by.client,
			      "path", path, "status", "SYSERR_SUCCESS");
	json_t *event;

	must(d);
	if (what == 1) {
		json_t *differs = json_array();

		diff(differs, "", was, is);
		json_object_set_new(d, "diff", differs);
		data_set(d, "old_resource_data", was);
		data_set(d, "new_resource_data", is);
	} else {
		data_set(d, "resource_data", what ? was : is);
	}
	event = audit_event(ids[what], "CONFIG", k->path, uuid, name, tenant,
			    json_pack("{s:o}", members[what], d), "Config %s %s %s by %s success",
			    k->path, name, verbs[what], c->by.user);
	json_object_set_new(event, "reason_code", json_string("SYSERR_SUCCESS"));
	if (c->notes.warnings.len)
		json_object_set_new(event, "details_summary", json_sprintf("%.1000s", buf_cstr(&c->notes.warnings)));
	else if (c->notes.inert.len)
		json_object_set_new(event, "details_summary",
				    json_sprintf("Set, but without effect yet: %.1000s",
						 buf_cstr(&c->notes.inert)));
	txn_event(c->txn, event);
}

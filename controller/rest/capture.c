/*
 * capture - GET /api/capture/UUID/file, and the same files as /api/fileservice?uri=controller://captures.
 *
 * A file can be read while its capture runs: what is there so far, by ranges. Whoever reads is noted, once a minute and
 * file.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "controller/audit.h"
#include "controller/capture/captures.h"
#include "controller/rest/handlers.h"
#include "controller/rest/subresource.h"
#include "controller/rules.h"

#define SAME_AGAIN_NS (60 * NS_PER_S)

/* Who reads in pieces reads once. */
static bool is_news(const struct request *q, const struct object *o)
{
	static char last[512];
	static uint64_t at_ns;
	char now[512];
	bool same;

	snprintf(now, sizeof(now), "%.150s %.60s %.200s", q->user->name, q->client, o->uuid);
	same = strcmp(now, last) == 0 && mono_ns() - at_ns < SAME_AGAIN_NS;
	snprintf(last, sizeof(last), "%s", now);
	if (!same)
		at_ns = mono_ns();
	return !same;
}

/* What TLS hid is for those who may hold the keys of certificates. */
static bool may_decrypt(struct request *q, const char *tenant, struct err *e)
{
	return access_may(&q->viewer, GUARD_ssl_key_and_certificate, tenant, ACCESS_WRITE, e) == 0;
}

/* Others get a file of the past without it. NULL: they get none, and the request is answered. */
static char *path_for(struct request *q, const struct object *o)
{
	const json_t *said = json_object_get(o->body, "plaintext_packets");
	struct err e = { 0 };

	if (!capture_reads_tls(json_object_get(o->body, "capture_params")) || may_decrypt(q, o->tenant, &e))
		return captures_path(q->rest->c, o->uuid);
	if (json_int(o->body, "seconds_before", 0) && said && *json_str(o->body, "ended", ""))
		return json_integer_value(said) ? captures_open_path(q->rest->c, o->uuid) : captures_path(q->rest->c, o->uuid);
	request_error(q, &e);
	return NULL;
}

static void send_file(struct request *q, const struct object *o)
{
	CLEANUP_FREE char *path = path_for(q, o);
	struct stat st;
	int fd = path ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;

	if (!path)
		return;

	if (fd < 0 || fstat(fd, &st) < 0) {
		request_refuse(q, 404, "The file of this capture is no more.");
		if (fd >= 0)
			close(fd);
		return;
	}
	if (is_news(q, o))
		store_event(q->rest->c->store,
			    audit_event("TRAFFIC_CAPTURE_DOWNLOAD", "CONFIG", "capture", o->uuid, o->name, o->tenant,
					json_pack("{s:s, s:s}", "user", q->user->name, "client_ip", q->client),
					"User %s downloaded the capture %s.", q->user->name, o->name),
			    NULL);
	request_file_part(q, fd, (uint64_t)st.st_size, json_str(o->body, "file_name", o->name));
}

enum result capture_file(struct request *q)
{
	const struct object *o = store_get(q->rest->c->store, "capture", q->uuid);
	struct err e = { 0 };

	q->asked = true;
	if (!o || !auth_sees(q, o))
		request_refuse(q, 404, "Capture object not found!");
	else if (auth_may_object(q, o, ACCESS_READ, &e) < 0)
		request_error(q, &e);
	else
		send_file(q, o);
	return RESULT_NOW;
}

/* ---- what the recorders have ---- */

static const struct parameter save_parameters[] = {
	{ "seconds", "uint32", NULL, "How far back; 60 when not given, at most 86400." },
	{ "request_id", "string", NULL, "Of one request only, as logs and the X-Request-ID of its answer call it: of both its connections." },
	{ "reason", "string", NULL, "Why; it stands in the file." },
	{ 0 },
};

struct saving {
	struct rest *rest;
	struct request *request;
	char *vs, *request_id, *base_url;
	unsigned seconds;
	bool plaintext;
};

static int save_wanted(const json_t *body, struct capture_past *p, struct err *e)
{
	const json_t *s = json_object_get(body, "seconds"), *id = json_object_get(body, "request_id");

	*p = (struct capture_past){ .before = 60, .trigger = "", .reason = json_str(body, "reason", ""),
				    .request_id = json_str(body, "request_id", "") };
	if (id && (!*p->request_id || strlen(p->request_id) > 64))
		return err_set(e, -EINVAL, "request_id", "The id of a request is wanted, of at most 64 characters.");
	if (!s)
		return 0;
	if (!json_is_integer(s) || json_integer_value(s) < 1 || json_integer_value(s) > 86400)
		return err_set(e, -EINVAL, "seconds", "A number from 1 to 86400 is wanted.");
	p->before = (unsigned)json_integer_value(s);
	return 0;
}

static void saved(void *arg, const struct object *o)
{
	static const char *const told[] = { "uuid", "name", "file_name", "packets", "plaintext_packets", "drops", "size", "seconds_held",
					    "plaintext_seconds_held", "ended_by", "engines" };
	struct saving *s = arg;
	struct err e = { 0 };
	json_t *answer = NULL;

	if (!o) {
		err_set(&e, -ENOENT, NULL, "What was saved was not kept (controllerproperties.max_pcap_per_tenant).");
	} else if (!*json_str(o->body, "ended", "")) {
		err_set(&e, -EAGAIN, NULL, "The controller is stopping: what engines have sent so far is in capture %.200s.", o->name);
	} else if (*s->request_id && strcmp(json_str(o->body, "ended_by", ""), "unknown") == 0) {
		err_set(&e, -ENOENT, "request_id", "No engine of virtual service '%s' has a record of request %s: it is over, and not long ago?",
			s->vs, s->request_id);
		captures_forget(s->rest->c->captures, o->uuid);
	} else {
		answer = json_pack("{s:o, s:i}", "url", json_sprintf("%s/api/capture/%s", s->base_url, o->uuid), "seconds", (int)s->seconds);
		for (size_t i = 0; i < ARRAY_SIZE(told); i++)
			if (json_object_get(o->body, told[i]))
				json_object_set(answer, told[i], json_object_get(o->body, told[i]));
		if (!s->plaintext)
			json_object_set_new(answer, "plaintext", json_string("What was said inside TLS is not in the file: it is for whoever may write "
									     "sslkeyandcertificate."));
	}
	subresource_answer(s->request, answer, &e);
	free(s->vs);
	free(s->request_id);
	free(s->base_url);
	free(s);
}

/* POST /api/virtualservice/UUID/save-packets: a capture of what was. Answered when it is there. */
static void save(void *arg, const struct subresource_call *call, struct request *q)
{
	struct change_by by = change_by(q);
	struct capture_past past;
	struct change change;
	struct saving *s;
	struct err e = { 0 }, no = { 0 };
	char made[UUID_MAX] = "";
	int rc = save_wanted(call->body, &past, &e);

	(void)arg;
	if (rc == 0)
		rc = auth_may(q, "capture", call->object->tenant, true, &e);
	if (rc == 0) {
		past.plaintext = may_decrypt(q, call->object->tenant, &no);
		change_begin(&change, q->rest->c->store, &by);
		rc = rule_capture_past(&change, call->object, &past, made, &e);
		if (rc == 0)
			rc = change_commit(&change, &e);
		else
			change_abort(&change);
		model_notes_fini(&change.notes);
	}
	if (rc < 0) {
		subresource_answer(q, NULL, &e);
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->rest = q->rest;
	s->request = q;
	s->vs = xstrdup(call->object->name);
	s->request_id = xstrdup(past.request_id);
	s->base_url = xstrdup(call->base_url);
	s->seconds = past.before;
	s->plaintext = past.plaintext;
	if (!captures_await(q->rest->c->captures, made, saved, s))
		saved(s, store_get(q->rest->c->store, "capture", made));
}

void capture_actions(struct rest *r)
{
	static struct subresource action = { .kind = "virtualservice", .path = "save-packets", .order = save, .parameters = save_parameters };

	subresource_add(r, &action);
}

/* ---- the folder ---- */

struct folder {
	struct request *q;
	const char *wanted; /* file name; "": all */
	json_t *list;
	char found[192];
};

static int look(void *arg, const struct object *o)
{
	struct folder *f = arg;
	const char *name = json_str(o->body, "file_name", "");
	CLEANUP_FREE char *path = captures_path(f->q->rest->c, o->uuid);
	struct stat st;

	if (!auth_sees(f->q, o) || !access_reads(&f->q->viewer, o) || stat(path, &st) < 0)
		return 0;
	if (strcmp(f->wanted, name) == 0)
		snprintf(f->found, sizeof(f->found), "%s", o->uuid);
	json_array_append_new(f->list, json_pack("{s:s, s:o, s:I, s:s, s:s, s:o}", "name", name, "uri",
						 json_sprintf("controller://captures/%s", name), "size", (json_int_t)st.st_size, "type",
						 "file", "modified", json_str(o->body, "ended", json_str(o->body, "started", "")), "url",
						 json_sprintf("%s/api/capture/%s/file", f->q->base_url, o->uuid)));
	return 0;
}

enum result captures_folder(struct request *q, const char *path)
{
	struct folder f = { .q = q, .wanted = path, .list = json_array() };
	struct store *s = q->rest->c->store;
	struct err e = { 0 };

	store_each(s, "capture", look, &f);
	if (auth_may(q, "capture", q->tenant_id, q->method != METHOD_GET, &e) < 0) {
		request_error(q, &e);
	} else if (q->method == METHOD_GET && !*path) {
		request_json(q, 200, json_pack("{s:I, s:O}", "count", (json_int_t)json_array_size(f.list), "results", f.list));
	} else if (!*f.found) {
		request_refuse(q, 404, "There is no capture %s.", path);
	} else if (q->method == METHOD_GET) {
		send_file(q, store_get(s, "capture", f.found));
	} else if (q->method == METHOD_DELETE) {
		struct change_by by = change_by(q);
		struct change change;

		change_begin(&change, s, &by);
		object_finish(q, &change, change_delete(&change, kind_find("capture"), f.found, &e), &e);
		if (!q->status)
			request_empty(q, 204);
	} else {
		request_refuse(q, 400, "Captures are made by the controller: nothing can be put there.");
	}
	json_decref(f.list);
	return RESULT_NOW;
}

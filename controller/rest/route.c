/*
 * route - the table of what can be asked for, and the walk from a request to its handler.
 *
 * A pattern is a path with ":kind", ":uuid", ":inventory" and, at its end, "*" for what is left. The first row
 * that matches the path and the method is taken; when only the path matches, the answer is 405 with
 * the methods that would have matched.
 */
#include <errno.h>
#include <strings.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "controller/resolve.h"
#include "controller/rest/aside.h"
#include "controller/rest/handlers.h"
#include "controller/rest/openapi.h"
#include "controller/rest/server.h"

enum needs {
	FORM = 1 << 1,	     /* the body is not JSON, or not only */
	ANY_TENANT = 1 << 2, /* the tenant header is not looked at */
	BODY = 1 << 3,	     /* of a DELETE: it means something here */
	OLD = 1 << 4,	     /* also for who has a password that is too old */
	UPLOAD = 1 << 5,     /* a form of files goes to the disk */
};

/* Who may come in. A guard of access.def: whose role opens it, to read with GET, to write with the others. */
enum {
	EVERYBODY = -1, /* no login */
	USERS = -2, /* whoever is logged in: nothing of others is told or changed */
	HANDLER = -3, /* the handler asks about each object; if it does not, nothing is answered */
};

/*
 * Behind them, in words, what it does: so it stands in /openapi.json. Routes of all kinds and of what is not there have none;
 * the former are described kind by kind.
 */
#define ROUTE(m, path, handler, who, flags, ...)                                                                       \
	{ .method = METHOD_##m, .pattern = path, .handle = handler, .guard = who, .needs = flags, .help = "" __VA_ARGS__ },

/* clang-format off */
static const struct route {
	enum method method;
	const char *pattern;
	handler *handle;
	int guard; /* one of the above, or an enum guard_id; 0, GUARD_CLOSED, opens for nobody */
	unsigned needs;
	const char *help;
} routes[] = {
	ROUTE(POST, "/login", login, EVERYBODY, FORM,
	      "Open a session, or another one: username, and password or token.")
	ROUTE(POST, "/logout", logout, USERS, ANY_TENANT | OLD,
	      "End the session.")
	ROUTE(GET, "/api/initial-data", initial_data, EVERYBODY, 0,
	      "Version and state, for who has not logged in.")
	ROUTE(GET, "/api/cluster/status", cluster_status, EVERYBODY, 0,
	      "Is the controller up?")
	ROUTE(GET, "/api/cluster/runtime", cluster_runtime, EVERYBODY, 0,
	      "The controller's nodes and their state.")
	ROUTE(GET, "/api/cluster/version", cluster_version, USERS, ANY_TENANT,
	      "The controller's version.")
	ROUTE(GET, "/api/useraccount", useraccount_get, USERS, ANY_TENANT | OLD,
	      "One's own account.")
	ROUTE(PUT, "/api/useraccount", useraccount_put, USERS, ANY_TENANT | OLD,
	      "Change one's own name, address or password.")
	ROUTE(GET, "/api/user-tenant-list", user_tenant_list, USERS, ANY_TENANT,
	      "The tenants in which one has a role.")
	ROUTE(GET, "/api/user-token", user_token_list, USERS, ANY_TENANT,
	      "One's own tokens.")
	ROUTE(POST, "/api/user-token", user_token_make, USERS, ANY_TENANT,
	      "Make a token that logs in for some hours.")
	ROUTE(DELETE, "/api/user-token/:uuid", user_token_delete, USERS, ANY_TENANT,
	      "Take a token back.")
	ROUTE(GET, "/api/model", model_get, USERS, ANY_TENANT,
	      "All kinds and fields as data.")
	ROUTE(GET, "/openapi.json", openapi_get, USERS, ANY_TENANT,
	      "This document.")
	ROUTE(GET, "/api/openapi.json", openapi_get, USERS, ANY_TENANT)
	ROUTE(GET, "/api/license", license_get, USERS, ANY_TENANT,
	      "Licences: there are none.")
	ROUTE(GET, "/api/licenseusage", licenseusage_get, USERS, ANY_TENANT,
	      "What would be counted for licences: the processors of the engines.")
	ROUTE(GET, "/api/upgradestatusinfo", upgradestatus_get, USERS, ANY_TENANT,
	      "Upgrades that run: none.")
	ROUTE(GET, "/api/upgradestatussummary", upgradestatus_get, USERS, ANY_TENANT,
	      "Upgrades that ran.")
	ROUTE(GET, "/api/cluster/upgrade/status", cluster_upgrade_get, USERS, ANY_TENANT,
	      "How the last upgrade ended, as older clients ask.")
	ROUTE(GET, "/api/analytics/logs", logs_get, HANDLER, 0,
	      "Events (type=2), requests (1) and connections (0).")
	ROUTE(POST, "/api/macro", macro_write, HANDLER, 0,
	      "Make an object and those it refers to, in one transaction.")
	ROUTE(PUT, "/api/macro", macro_write, HANDLER, 0,
	      "Make or change an object and those it refers to, in one transaction.")
	ROUTE(DELETE, "/api/macro", macro_delete, HANDLER, BODY,
	      "Delete an object and what only it uses.")
	ROUTE(GET, "/api/configuration/export", configuration_export, HANDLER, 0,
	      "The configuration of a tenant, or of the whole system, as a file.")
	ROUTE(POST, "/api/configuration/import", configuration_import, HANDLER, FORM | UPLOAD,
	      "Take such a file in.")
	ROUTE(GET, "/api/analytics/metrics/collection", action_get, USERS, 0)
	ROUTE(POST, "/api/serviceenginegroup/:uuid/token", token_post, HANDLER, 0,
	      "Make a token with which engines join the group.")
	ROUTE(POST, "/api/serviceengine/:uuid/forcedelete", engine_forget, HANDLER, 0,
	      "Delete an engine, whatever it carries.")
	ROUTE(GET, "/api/fileservice/*", file_get, GUARD_file, FORM,
	      "A file; with uri=controller://FOLDER a list.")
	ROUTE(POST, "/api/fileservice/*", file_post, GUARD_file, FORM | UPLOAD,
	      "Put a file into a folder, or make the folder.")
	ROUTE(DELETE, "/api/fileservice/*", file_delete, GUARD_file, FORM,
	      "Delete the file or the empty folder that uri names.")
	ROUTE(GET, "/api/fileobject/*", file_get, GUARD_file, FORM,
	      "A file of the folder fileobject.")
	ROUTE(POST, "/api/fileobject/*", file_post, GUARD_file, FORM | UPLOAD,
	      "Put a file into the folder fileobject.")
	ROUTE(DELETE, "/api/fileobject/*", file_delete, GUARD_file, FORM,
	      "Delete a file of the folder fileobject.")
	ROUTE(OTHER, "/api/image/*", absent_any, GUARD_image, FORM)
	ROUTE(POST, "/api/analytics/metrics/collection", metrics_collection, HANDLER, 0,
	      "Several questions about metrics at once.")
	ROUTE(GET, "/api/analytics/metrics/:kind", metrics_get, HANDLER, 0,
	      "Metrics of all objects of a kind.")
	ROUTE(GET, "/api/analytics/metrics/:kind/:uuid", metrics_get, HANDLER, 0,
	      "Metrics of an object: metric_id, step, limit, start, stop.")
	ROUTE(GET, "/api/analytics/metric_id", metric_ids_get, USERS, ANY_TENANT,
	      "The metrics that there are.")
	ROUTE(GET, "/api/analytics/healthscore/:kind/:uuid", health_score_get, HANDLER, 0,
	      "The present health score, as a series of one.")
	ROUTE(OTHER, "/api/analytics/healthscore/*", absent_any, USERS, ANY_TENANT | FORM)
	ROUTE(OTHER, "/api/analytics/anomaly/*", absent_any, USERS, ANY_TENANT | FORM)
	ROUTE(OTHER, "/api/systemconfiguration/systestemail", absent_any, USERS, ANY_TENANT | FORM)
	ROUTE(POST, "/api/virtualservice/clear", absent_any, USERS, ANY_TENANT | FORM)
	ROUTE(POST, "/api/pool/clear", absent_any, USERS, ANY_TENANT | FORM)
	ROUTE(POST, "/api/poolgroup/clear", absent_any, USERS, ANY_TENANT | FORM)
	ROUTE(POST, "/api/serviceengine/clear", absent_any, USERS, ANY_TENANT | FORM)
	ROUTE(POST, "/api/sslkeyandcertificate", certificate_write, HANDLER, 0)
	ROUTE(PUT, "/api/sslkeyandcertificate/:uuid", certificate_write, HANDLER, 0)
	ROUTE(PATCH, "/api/sslkeyandcertificate/:uuid", certificate_write, HANDLER, 0)
	ROUTE(POST, "/api/pkiprofile", authorities_write, HANDLER, 0)
	ROUTE(PUT, "/api/pkiprofile/:uuid", authorities_write, HANDLER, 0)
	ROUTE(PATCH, "/api/pkiprofile/:uuid", authorities_write, HANDLER, 0)
	ROUTE(POST, "/api/user", user_write, HANDLER, 0)
	ROUTE(PUT, "/api/user/:uuid", user_write, HANDLER, 0)
	ROUTE(PATCH, "/api/user/:uuid", user_write, HANDLER, 0)
	ROUTE(GET, "/api/:inventory", inventory_list, HANDLER, 0,
	      "Objects as rows of a dashboard: configuration, runtime, score, alerts, faults.")
	ROUTE(GET, "/api/:inventory/:uuid", inventory_get, HANDLER, 0,
	      "One such row.")
	ROUTE(GET, "/api/backup/:uuid/file", backup_file, HANDLER, 0,
	      "The file of a backup.")
	ROUTE(GET, "/api/capture/:uuid/file", capture_file, HANDLER, 0,
	      "The packets of a capture, as pcapng.")
	ROUTE(GET, "/api/:kind", object_list, HANDLER, 0)
	ROUTE(POST, "/api/:kind", object_create, HANDLER, 0)
	ROUTE(PUT, "/api/:kind", object_replace, HANDLER, 0)
	ROUTE(PATCH, "/api/:kind", object_patch, HANDLER, 0)
	ROUTE(DELETE, "/api/:kind", object_delete, HANDLER, 0)
	ROUTE(GET, "/api/:kind/:uuid", object_get, HANDLER, 0)
	ROUTE(PUT, "/api/:kind/:uuid", object_replace, HANDLER, 0)
	ROUTE(PATCH, "/api/:kind/:uuid", object_patch, HANDLER, 0)
	ROUTE(DELETE, "/api/:kind/:uuid", object_delete, HANDLER, 0)
	ROUTE(GET, "/api/:kind/:uuid/*", subresource_get, HANDLER, 0)
	ROUTE(POST, "/api/:kind/:uuid/*", subresource_post, HANDLER, 0)
};
/* clang-format on */

static const char *const method_names[] = {
	[METHOD_GET] = "GET",	  [METHOD_POST] = "POST",     [METHOD_PUT] = "PUT",
	[METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE", [METHOD_OPTIONS] = "OPTIONS",
};

/* Does the path match? Leaves the parts in Q; q->path_copy is cut up. */
static bool matches(const char *pattern, struct request *q)
{
	char *p;

	free(q->path_copy);
	q->path_copy = p = xstrdup(q->path);
	q->kind = q->uuid = q->rest_path = NULL;
	for (;;) {
		size_t want = strcspn(pattern + 1, "/"), have;

		if (strcmp(pattern, "/*") == 0) {
			if (*p)
				*p++ = '\0'; /* the end of the part before it */
			q->rest_path = p;
			return true;
		}
		if (*p != '/')
			return false;
		*p++ = '\0';
		have = strcspn(p, "/");
		if (have == 0)
			return false;
		if (strncmp(pattern + 1, ":kind", want) == 0 && want == 5)
			q->kind = p;
		else if (strncmp(pattern + 1, ":uuid", want) == 0 && want == 5)
			q->uuid = p;
		else if (strncmp(pattern + 1, ":inventory", want) == 0 && want == 10) {
			if (!inventory_exists(p, have))
				return false;
			q->kind = p;
		} else if (want != have || strncmp(pattern + 1, p, want) != 0)
			return false;
		pattern += 1 + want;
		p += have;
		if (!*pattern)
			return *p == '\0' ? true : false;
	}
}

/* ---- /openapi.json ------------------------------------------------------------- */

void route_describe(json_t *document)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		const struct route *r = &routes[i];

		if (*r->help)
			openapi_add(document, method_names[r->method], r->pattern, r->help,
				    (r->guard == EVERYBODY ? OPENAPI_OPEN : 0) | (r->needs & UPLOAD ? OPENAPI_FILE : 0));
	}
}

/* ---- refusals ------------------------------------------------------------------- */

enum result refuse_method(struct request *q, const char *allow)
{
	request_header(q, "Allow", allow);
	/* Clients look for exactly this. */
	request_refuse(q, 405, "Method '%s' not allowed.", q->method_text);
	return RESULT_NOW;
}

/* "20.1.1" as a number that compares; -1 when it is none. */
static long version_number(const char *text)
{
	long n = 0;
	int parts = 0;

	while (*text && parts < 3) {
		char *end;
		long part = strtol(text, &end, 10);

		if (end == text || part < 0 || part > 999)
			return -1;
		n = n * 1000 + part;
		parts++;
		/* "22.1.3-9001": the build behind it says nothing about the contract. */
		if (*end == '-')
			break;
		text = *end == '.' ? end + 1 : end;
		if (*end && *end != '.')
			return -1;
	}
	for (; parts < 3; parts++)
		n *= 1000;
	return n;
}

static bool version_fits(struct request *q)
{
	long v;

	/* Basic authentication walks twice: see auth_user(). */
	if (!q->n_headers)
		request_header(q, "AVI_API_VERSION", *q->version ? q->version : CONTRACT_VERSION);
	if (!*q->version)
		return true;
	v = version_number(q->version);
	if (v >= 0 && v <= version_number(CONTRACT_VERSION))
		return true;
	request_refuse(q, 400,
		       "Invalid version '%s' in X-Avi-Version: this controller speaks up to %s.",
		       q->version, CONTRACT_VERSION);
	return false;
}

static bool csrf_fits(struct request *q)
{
	if (!q->session || q->method == METHOD_GET || q->method == METHOD_OPTIONS)
		return true;
	if (strlen(q->csrf) == SESSION_ID_LEN &&
	    secret_equal(q->csrf, q->session->csrf, SESSION_ID_LEN))
		return true;
	/*
	 * 401 and no JSON, as recorded: clients log in again on it, while 403 would be final for
	 * them.
	 */
	q->status = 401;
	q->text = xstrdup("CSRF token missing or incorrect.");
	return false;
}

static bool body_reads(struct request *q, unsigned needs)
{
	struct err e = { 0 };

	/*
	 * Python and Go say "application/json" on a GET without a body too. A body that some clients
	 * send with a DELETE means nothing (RFC 9110, 9.3.5), whatever it holds.
	 */
	if (q->body.len == 0 || q->method == METHOD_GET ||
	    (q->method == METHOD_DELETE && !(needs & BODY)))
		return true;
	if (json_read(q->body.data, q->body.len, &q->json, &e) == 0)
		return true;
	request_error(q, &e);
	return false;
}

/* ---- the walk --------------------------------------------------------------------- */

/* Has the kind of the path that method there? Below an object it is the sub-resource's matter. */
static bool fits_kind(const struct request *q, const char *method)
{
	const struct kind_desc *k = kind_find(q->kind);

	if (!k || (q->rest_path && !*q->rest_path))
		return false;
	return q->rest_path || strstr(object_methods(k, q->uuid != NULL), method);
}

static const struct route *find(struct request *q, struct buf *allow)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		const struct route *r = &routes[i];

		if (!matches(r->pattern, q))
			continue;
		/*
		 * /api/user is a kind with a row of its own; /api/model is not, and no row of kinds
		 * serves it.
		 */
		if (q->kind && allow->len && !kind_find(q->kind))
			break;
		if (r->method == q->method || r->method == METHOD_OTHER)
			return r;
		/* What there are no objects of has no methods: the handler says so, with 404. */
		if (strstr(r->pattern, ":kind") && !fits_kind(q, method_names[r->method]))
			continue;
		if (!strstr(allow->len ? buf_cstr(allow) : "", method_names[r->method]))
			buf_printf(allow, "%s%s", allow->len ? ", " : "", method_names[r->method]);
	}
	return NULL;
}

/* A guard that is asked here, in the tenant of the request. */
static bool guard_opens(struct request *q, const struct route *r)
{
	struct err e = { 0 };

	if (r->guard < 0 || access_may(&q->viewer, (enum guard_id)r->guard, q->tenant_id,
				       q->method == METHOD_GET ? ACCESS_READ : ACCESS_WRITE, &e) == 0)
		return true;
	request_error(q, &e);
	return false;
}

static bool password_young(struct request *q, const struct route *r)
{
	if (r->guard == EVERYBODY || (r->needs & OLD) ||
	    !(q->session ? q->session->must_change : q->must_change))
		return true;
	request_refuse(q, 403,
		       "The password is too old: set another one with PUT /api/useraccount.");
	return false;
}

static enum result serve(struct request *q)
{
	struct buf allow = BUF_INIT;
	const struct route *r = find(q, &allow);
	enum result result = RESULT_NOW;
	enum auth auth = AUTH_GOOD;

	q->route = r;
	if (!version_fits(q))
		;
	else if (!r && !allow.len)
		request_refuse(q, 404, "There is nothing at %s.", q->path);
	else if (!r && q->method == METHOD_OPTIONS) {
		request_header(q, "Allow", buf_cstr(&allow));
		request_empty(q, 200);
	} else if (!r)
		refuse_method(q, buf_cstr(&allow));
	else if (r->guard != EVERYBODY && (auth = auth_user(q)) != AUTH_GOOD)
		result = auth == AUTH_LATER ? RESULT_LATER : RESULT_NOW;
	else if (!csrf_fits(q) || !password_young(q, r) ||
		 (r->guard != EVERYBODY && !(r->needs & ANY_TENANT) && !auth_tenant(q)) ||
		 !guard_opens(q, r))
		;
	else if (q->stage == STAGE_HEAD) {
		if (r->needs & UPLOAD)
			file_begin(q, q->length);
	} else if (!(r->needs & FORM) && !body_reads(q, r->needs))
		;
	else {
		if (q->session && r->handle != logout)
			login_renew(q, q->session);
		result = r->handle(q);
	}
	buf_fini(&allow);
	return result;
}

static void drop_answer(struct request *q)
{
	json_decref(q->large);
	q->large = NULL;
	free(q->text);
	q->text = NULL;
	q->status = 0;
}

/* A handler that answers without having asked would be open to everybody: it is closed to all. */
static void close_unasked(struct request *q)
{
	if (!q->route || q->route->guard != HANDLER || q->asked || q->status >= 300)
		return;
	log_error("request_unguarded method=%s path=%s", q->method_text, q->path);
	drop_answer(q);
	request_refuse(q, 403, "Nobody has a permission for %s %s.", q->method_text, q->path);
}

static void large_to_text(struct request *q, void *arg)
{
	(void)arg;
	request_large_to_text(q);
}

static void answer(struct request *q)
{
	if (q->status >= 500)
		log_warn("request_failed method=%s path=%s status=%d", q->method_text, q->path,
			 q->status);
	if (q->large && aside(q, large_to_text, server_answer, NULL))
		return;
	if (q->large)
		request_large_to_text(q);
	server_answer(q);
}

/* The disk does not have what the answers tell of: nobody is told. */
static void take_back(struct request *q, const struct err *e)
{
	drop_answer(q);
	if (q->file >= 0)
		close(q->file);
	q->file = -1;
	request_error(q, e);
}

static void synced(struct message *m)
{
	struct rest *r = CONTAINER_OF(m, struct rest, sync);
	struct err e = { 0 };
	int rc = store_sync(r->c->store, &e);

	while (!list_empty(&r->unsynced)) {
		struct request *q = LIST_ENTRY(r->unsynced.next, struct request, unsynced);

		list_remove(&q->unsynced);
		if (rc < 0)
			take_back(q, &e);
		answer(q);
	}
}

void route_done(struct request *q)
{
	struct rest *r = q->rest;

	if (q->stage == STAGE_HEAD && !q->status) {
		server_go_on(q);
		return;
	}
	close_unasked(q);
	/* Also a GET may tell of what is not durable yet. */
	if (store_is_synced(r->c->store)) {
		answer(q);
		return;
	}
	if (list_empty(&r->unsynced))
		inbox_post(&r->c->inbox, &r->sync, synced);
	list_init(&q->unsynced);
	list_insert(&r->unsynced, &q->unsynced);
}

void route_request(struct request *q)
{
	if (serve(q) == RESULT_NOW)
		route_done(q);
}

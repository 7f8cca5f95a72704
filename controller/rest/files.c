/*
 * files - /api/fileservice and /api/fileobject: files of clients, per tenant.
 *
 * Where a file goes: `uri` (controller://FOLDER) of the form, which says more than the path, or the
 * path. Where it is found again: the path, or `?uri=controller://FOLDER/NAME`.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/audit.h"
#include "controller/pool.h"
#include "controller/rest/handlers.h"
#include "controller/rest/upload.h"

#define SCHEME "controller://"

static bool is_object(const struct request *q)
{
	return strncmp(q->path, "/api/fileobject", 15) == 0;
}

/* Clients find a file object by its name, and delete what they have found by its uuid: they are the same. */
static void put_identity(struct request *q, json_t *row)
{
	const char *name = json_str(row, "name", "");

	json_object_set_new(row, "uuid", json_string(name));
	json_object_set_new(row, "url", json_sprintf("%s/api/fileobject/%s", q->base_url, name));
}

/* The path that `uri` or the URL names, for the caller to free; NULL: answered 400. */
static char *path_of(struct request *q, const char *uri)
{
	bool object = is_object(q);
	const char *rest = q->rest_path;

	if (strcmp(q->tenant_id, "*") == 0) {
		request_refuse(q, 400, "A file is in one tenant: name it in X-Avi-Tenant.");
		return NULL;
	}
	/* The last word of its uploads is a verb. */
	if (object && q->method == METHOD_POST)
		rest = strncmp(rest, "upload", 6) == 0 ? rest + 6 : rest;
	if (object)
		return xasprintf("fileobject/%s", rest);
	if (!uri || !*uri)
		return xstrdup(rest);
	if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0) {
		request_refuse(q, 400, "uri: It begins with " SCHEME ".");
		return NULL;
	}
	return xstrdup(uri + strlen(SCHEME));
}

/* The captures are not among the files of clients: who may read those reads these not yet. */
static bool is_captures(const char *path, const char **rest)
{
	if (strncmp(path, "captures", 8) != 0 || (path[8] && path[8] != '/'))
		return false;
	*rest = path + 8 + (path[8] == '/');
	return true;
}

static void refuse(struct request *q, const struct err *e)
{
	if (e->code == -ENOENT)
		request_refuse(q, 404, "%s", err_line(e));
	else
		request_error(q, e);
}

static void tell(struct request *q, const char *id, const char *path, const char *fmt)
{
	json_t *d = json_pack("{s:{s:s, s:s, s:s}}", "file_details", "user", q->user->name, "client_ip",
			      q->client, "uri", path);

	store_event(q->rest->c->store,
		    audit_event(id, "CONFIG", NULL, NULL, path, q->tenant_id, d, fmt, q->user->name,
				path),
		    NULL);
}

/* ---- reading, deleting --------------------------------------------------------------------- */

static void as_objects(struct request *q, json_t *list)
{
	const char *wanted = query_get(&q->query, "name");

	for (size_t i = json_array_size(list); i-- > 0;) {
		json_t *row = json_array_get(list, i);

		if (wanted && strcmp(json_str(row, "name", ""), wanted) != 0)
			json_array_remove(list, i);
		else
			put_identity(q, row);
	}
}

static void answer_list(struct request *q, const char *path, bool by_uri)
{
	struct err e = { 0 };
	json_t *list = NULL;
	int rc = files_list(q->rest->files, q->tenant_id, path, &list, &e);

	/* A folder that nobody made yet is an empty one to those who list it. */
	if (rc == -ENOENT && (by_uri || !*path || (is_object(q) && !*q->rest_path)))
		list = json_array();
	if (list && is_object(q))
		as_objects(q, list);
	if (list)
		request_json(q, 200,
			     json_pack("{s:I, s:o}", "count", (json_int_t)json_array_size(list),
				       "results", list));
	else
		refuse(q, &e);
}

enum result file_get(struct request *q)
{
	const char *uri = query_get(&q->query, "uri");
	CLEANUP_FREE char *path = path_of(q, uri);
	const char *capture;
	struct err e = { 0 };
	uint64_t size;
	int fd;

	if (!path)
		return RESULT_NOW;
	if (is_captures(path, &capture))
		return captures_folder(q, capture);
	fd = uri ? -EISDIR : files_get(q->rest->files, q->tenant_id, path, &size, &e);
	if (fd >= 0)
		request_file(q, fd, size);
	else if (fd == -EISDIR || (fd == -ENOENT && (!*path || (is_object(q) && !*q->rest_path))))
		answer_list(q, path, uri != NULL);
	else
		refuse(q, &e);
	return RESULT_NOW;
}

enum result file_delete(struct request *q)
{
	CLEANUP_FREE char *path = path_of(q, query_get(&q->query, "uri"));
	const char *capture;
	struct err e = { 0 };

	if (!path)
		return RESULT_NOW;
	if (is_captures(path, &capture))
		return captures_folder(q, capture);
	if (files_delete(q->rest->files, q->tenant_id, path, &e) < 0) {
		refuse(q, &e);
		return RESULT_NOW;
	}
	tell(q, "FILE_DELETE", path, "User %s deleted the file %s.");
	request_empty(q, 204);
	return RESULT_NOW;
}

/* ---- uploads ---------------------------------------------------------------------------------- */

void file_begin(struct request *q, uint64_t length)
{
	struct err e = { 0 };

	if (strcmp(q->tenant_id, "*") == 0)
		request_refuse(q, 400, "A file is in one tenant: name it in X-Avi-Tenant.");
	else if (upload_begin(q->rest->files, q->content_type, length, &q->upload, &e) < 0)
		request_error(q, &e);
}

/* To the disk, on the pool. */
struct storing {
	struct job job;
	struct request *request;
	char *folder, *tenant;
	struct err e;
};

static void store_work(struct job *j)
{
	struct storing *s = CONTAINER_OF(j, struct storing, job);

	upload_store(s->request->upload, s->tenant, s->folder, &s->e);
}

static void store_done(struct job *j)
{
	struct storing *s = CONTAINER_OF(j, struct storing, job);
	struct request *q = s->request;
	const struct upload *u = q->upload;
	CLEANUP_FREE char *path = xasprintf("%s%s%s", s->folder, *s->folder ? "/" : "",
					    upload_name(u));

	if (s->e.code)
		request_error(q, &s->e);
	/* The objects that Q borrowed may have gone in the meantime. */
	else if (auth_user(q) == AUTH_GOOD) {
		json_t *row = json_pack("{s:s, s:o, s:I}", "name", upload_name(u), "uri", json_sprintf(SCHEME "%s", path),
					"size", (json_int_t)upload_size(u));

		tell(q, "FILE_UPLOAD", path, "User %s uploaded the file %s.");
		if (is_object(q))
			put_identity(q, row);
		request_json(q, 201, row);
	}
	route_done(q);
	free(s->folder);
	free(s->tenant);
	free(s);
}

static enum result make_folder(struct request *q)
{
	const char *uri = query_get(&q->query, "uri");
	CLEANUP_FREE char *path = path_of(q, uri);
	struct err e = { 0 };

	if (!path)
		return RESULT_NOW;
	if (q->body.len || !*path)
		request_refuse(q, 400, "A file comes as multipart/form-data, in a part 'file'.");
	else if (files_make_folder(q->rest->files, q->tenant_id, path, &e) < 0)
		refuse(q, &e);
	else
		request_json(q, 201, json_pack("{s:o}", "uri", json_sprintf(SCHEME "%s", path)));
	return RESULT_NOW;
}

enum result file_post(struct request *q)
{
	const char *name;
	struct storing *s;
	struct err e = { 0 };
	char *folder;

	if (!q->upload)
		return make_folder(q);
	/* An object is named by its form; a file of a folder by its sender. */
	name = is_object(q) ? upload_field(q->upload, "name") : NULL;
	if (upload_check(q->upload, &e) < 0 || (name && *name && upload_rename(q->upload, name, &e) < 0)) {
		request_error(q, &e);
		return RESULT_NOW;
	}
	folder = path_of(q, upload_field(q->upload, "uri"));
	if (!folder)
		return RESULT_NOW;
	/* One form of it: it comes back in the answer. */
	for (size_t n = strlen(folder); n && folder[n - 1] == '/'; n--)
		folder[n - 1] = '\0';
	s = xcalloc(1, sizeof(*s));
	s->job.work = store_work;
	s->job.done = store_done;
	s->request = q;
	s->folder = folder;
	s->tenant = xstrdup(q->tenant_id);
	if (pool_post(q->rest->c->pool, &s->job) == 0)
		return RESULT_LATER;
	free(s->folder);
	free(s->tenant);
	free(s);
	request_refuse(q, 503, "The controller is busy: try again.");
	return RESULT_NOW;
}

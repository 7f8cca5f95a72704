/*
 * configuration - GET /api/configuration/export, POST /api/configuration/import, GET /api/backup/UUID/file.
 *
 * The core takes a snapshot, or writes what was read in slices; key derivation, sealing, parsing and the making of a whole store happen on
 * the pool, so that engines do not wait. After a full system was imported the controller starts itself anew, with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/base.h"
#include "base/log.h"
#include "controller/audit.h"
#include "controller/backup/backups.h"
#include "controller/backup/intake.h"
#include "controller/backup/restore.h"
#include "controller/pool.h"
#include "controller/resolve.h"
#include "controller/rest/handlers.h"
#include "controller/rest/upload.h"

struct config_job {
	struct job job;
	struct request *request;
	char *passphrase; /* NULL: none */
	struct snapshot *snapshot;
	char *text; /* of an export */
	bool restore; /* the whole system */
	char *dir, *by;
	struct archive archive;
	struct intake *intake; /* of a tenant */
	struct model_notes notes;
	struct timer next;   /* its next slice */
	struct err e;
};

/* Of the URL, or of the form in which a file came. */
static const char *parameter(const struct request *q, const char *name)
{
	const char *value = query_get(&q->query, name);

	return value || !q->upload ? value : upload_field(q->upload, name);
}

static bool wants_full(const struct request *q)
{
	const char *value = parameter(q, "full_system");

	return value && strcmp(value, "false") != 0 && strcmp(value, "0") != 0;
}

static struct config_job *config_job(struct request *q)
{
	struct config_job *c = xcalloc(1, sizeof(*c));
	const char *passphrase = parameter(q, "passphrase");

	c->request = q;
	c->passphrase = passphrase && *passphrase ? xstrdup(passphrase) : NULL;
	c->dir = xstrdup(q->rest->c->data);
	c->by = xstrdup(q->user->name);
	return c;
}

static void config_job_free(struct config_job *c)
{
	if (c->passphrase)
		OPENSSL_cleanse(c->passphrase, strlen(c->passphrase));
	free(c->passphrase);
	free(c->dir);
	free(c->by);
	free(c->text);
	snapshot_free(c->snapshot);
	intake_free(c->intake);
	model_notes_fini(&c->notes);
	archive_close(&c->archive);
	free(c);
}

static enum result later(struct request *q, struct config_job *c)
{
	if (pool_post(q->rest->c->pool, &c->job) == 0)
		return RESULT_LATER;
	config_job_free(c);
	request_refuse(q, 503, "Too much slow work at once: try again.");
	return RESULT_NOW;
}

/* ---- export ------------------------------------------------------------------------------------ */

static void export_work(struct job *j)
{
	struct config_job *c = CONTAINER_OF(j, struct config_job, job);

	c->text = archive_make(c->snapshot, c->passphrase);
}

static void export_done(struct job *j)
{
	struct config_job *c = CONTAINER_OF(j, struct config_job, job);
	struct request *q = c->request;

	q->status = 200;
	q->text = c->text;
	c->text = NULL;
	config_job_free(c);
	route_done(q);
}

static void told(struct request *q, const char *what, bool full, bool sealed)
{
	store_event(q->rest->c->store,
		    audit_event("CONFIG_ACTION", "CONFIG", NULL, NULL, NULL, full || strcmp(q->tenant_id, "*") == 0 ? TENANT_ADMIN : q->tenant_id,
				json_pack("{s:{s:s, s:s, s:s, s:s}}", "config_action_details", "action_name", what, "user",
					  q->user->name, "client_ip", q->client, "status", "SYSERR_SUCCESS"),
				"%s was exported by %s%s.", full ? "The full system" : "The configuration of the tenant", q->user->name,
				sealed ? ", with its secrets, sealed with a passphrase" : ", without its secrets"),
		    NULL);
}

enum result configuration_export(struct request *q)
{
	bool full = wants_full(q);
	struct config_job *c;
	struct err e = { 0 };

	q->asked = true; /* a full one is for superusers, else the snapshot asks about each object */
	if (full && !auth_is_superuser(q)) {
		request_refuse(q, 403, "User '%s' has no permission to export the full system: only a superuser has.", q->user->name);
		return RESULT_NOW;
	}
	if (!full && strcmp(q->tenant_id, "*") == 0) {
		request_refuse(q, 400, "X-Avi-Tenant: an export is of one tenant, or of the full_system.");
		return RESULT_NOW;
	}
	c = config_job(q);
	if (c->passphrase && strlen(c->passphrase) > ARCHIVE_PASSPHRASE_MAX)
		err_set(&e, -EINVAL, "passphrase", "It has at most %d bytes.", ARCHIVE_PASSPHRASE_MAX);
	else if (full)
		snapshot_full(q->rest->c->store, q->rest->c->data, &c->snapshot, &e);
	else
		c->snapshot = snapshot_tenant(q->rest->c->store, &q->viewer);
	if (e.code) {
		config_job_free(c);
		request_error(q, &e);
		return RESULT_NOW;
	}
	told(q, "export", full, c->passphrase != NULL);
	c->job.work = export_work;
	c->job.done = export_done;
	return later(q, c);
}

enum result backup_file(struct request *q)
{
	const struct object *o = store_get(q->rest->c->store, "backup", q->uuid);
	CLEANUP_FREE char *path = backups_path(q->rest->c, q->uuid);
	struct err e = { 0 };
	struct stat st;
	int fd = -1;

	q->asked = true;
	if (!o || !auth_sees(q, o))
		request_refuse(q, 404, "Backup object not found!");
	else if (auth_may_object(q, o, ACCESS_READ, &e) < 0)
		request_error(q, &e);
	else if (strcmp(o->tenant, TENANT_ADMIN) == 0 && !auth_is_superuser(q))
		request_refuse(
			q, 403,
			"User '%s' has no permission to read a backup of the full system: only a superuser has.",
			q->user->name);
	else if ((fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0 || fstat(fd, &st) < 0)
		request_refuse(q, 404, "The file of this backup is no more.");
	else
		request_file(q, fd, (uint64_t)st.st_size);
	if (fd >= 0 && q->status != 200)
		close(fd);
	return RESULT_NOW;
}

/* ---- import ------------------------------------------------------------------------------------ */

static int check_scope(const struct config_job *c, struct err *e)
{
	if (!c->restore && c->archive.full)
		return err_set(e, -EINVAL, "full_system",
			       "The file holds a full system: say full_system=true, and all that is here is replaced by it.");
	if (c->restore && !c->archive.full)
		return err_set(e, -EINVAL, "full_system", "The file holds the objects of one tenant, and no full system.");
	if (c->restore && !c->archive.sealed)
		return err_set(e, -EINVAL, NULL,
			       "The file was exported without a passphrase, so its secrets were left out: no controller can be made of it.");
	return 0;
}

static void import_work(struct job *j)
{
	struct config_job *c = CONTAINER_OF(j, struct config_job, job);
	struct request *q = c->request;
	CLEANUP_FREE char *file = NULL;
	const char *text = q->body.len ? q->body.data : "";
	size_t len = q->body.len;

	if (q->upload) {
		if (upload_text(q->upload, ARCHIVE_BYTES_MAX, &file, &len, &c->e) < 0)
			return;
		text = file;
	}
	if (archive_open(text, len, c->passphrase, &c->archive, &c->e) == 0 &&
	    check_scope(c, &c->e) == 0 && c->restore)
		restore_stage(&c->archive, c->dir, c->by, &c->e);
}

static void intake_end(struct config_job *c, int rc)
{
	struct request *q = c->request;

	/* Also what was taken back may have been his own object. */
	if (rc < 0 && !q->status)
		request_error(q, &c->e);
	if (rc == 0 && !q->status) {
		notes_headers(q, &c->notes);
		request_json(q, 200, json_pack("{s:s, s:I}", "status", "imported", "objects", (json_int_t)intake_count(c->intake)));
	}
	config_job_free(c);
	route_done(q);
}

static void intake_on(struct timer *t)
{
	struct config_job *c = CONTAINER_OF(t, struct config_job, next);
	struct request *q = c->request;
	struct change_by by = { 0 };
	int rc;

	/* Rights may have gone in the meantime. */
	if (!intake_is_stopped(c->intake) && (auth_user(q) != AUTH_GOOD || !auth_tenant(q)))
		intake_stop(c->intake, -EACCES, "The right to write was lost.");
	if (!intake_is_stopped(c->intake))
		by = change_by(q);
	rc = intake_step(c->intake, q->rest->c->store, &by, &c->notes, &c->e);
	q->user = q->viewer.user = NULL;
	if (rc == 1)
		timer_in(q->rest->c->loop, &c->next, 1, intake_on);
	else
		intake_end(c, rc);
}

static void import_done(struct job *j)
{
	struct config_job *c = CONTAINER_OF(j, struct config_job, job);
	struct request *q = c->request;

	if (c->restore && c->e.code)
		q->rest->restoring = false;
	if (!c->restore && !c->e.code)
		c->intake = intake_new(&c->archive, &c->e);
	if (c->intake) {
		intake_on(&c->next);
		return;
	}
	if (c->e.code) {
		request_error(q, &c->e);
	} else {
		request_json(q, 200, json_pack("{s:s, s:b}", "status", "restored", "restarts", 1));
		log_info("configuration_restored user=%s text=\"starting anew with it\"", c->by);
		controller_restart(q->rest->c);
	}
	config_job_free(c);
	route_done(q);
}

enum result configuration_import(struct request *q)
{
	bool full = wants_full(q);
	struct config_job *c;

	q->asked = true; /* a full one is for superusers, else change.c asks about each object */
	if (full && !auth_is_superuser(q)) {
		request_refuse(q, 403, "User '%s' has no permission to import a full system: only a superuser has.", q->user->name);
		return RESULT_NOW;
	}
	if (!full && strcmp(q->tenant_id, "*") == 0) {
		request_refuse(q, 400, "X-Avi-Tenant: objects are imported into one tenant.");
		return RESULT_NOW;
	}
	if (q->rest->c->restarts) {
		request_refuse(q, 503, "The controller is starting anew.");
		return RESULT_NOW;
	}
	if (full && q->rest->restoring) {
		request_refuse(q, 503, "Another import of a full system is under way: try again.");
		return RESULT_NOW;
	}
	c = config_job(q);
	c->restore = full;
	c->job.work = import_work;
	c->job.done = import_done;
	if (later(q, c) == RESULT_NOW)
		return RESULT_NOW;
	q->rest->restoring |= full;
	return RESULT_LATER;
}

#include "controller/backup/backups.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/base.h"
#include "base/log.h"
#include "base/moment.h"
#include "controller/audit.h"
#include "controller/backup/archive.h"
#include "controller/backup/schedule.h"
#include "controller/change.h"
#include "controller/pool.h"
#include "controller/resolve.h"
#include "model/structs.h"

#define SPACE "scheduler" /* uuid: when it ran last, microseconds */

enum { TICK_MS = 1000 };

struct run {
	struct job job;
	struct backups *owner;
	struct snapshot *snapshot;
	char *passphrase; /* NULL: none */
	char *scheduler, *config, *tenant, *prefix; /* uuids */
	char *folder, *path;
	char uuid[UUID_MAX], file_name[300], timestamp[MOMENT_MAX];
	uint64_t at_us, keep;
	struct err e;
};

struct backups {
	struct controller *c;
	struct timer tick;
	struct store_watch watch;
	struct run *running;
	bool stopped;
};

static char *folder_of(const struct controller *c)
{
	return xasprintf("%s/backups", c->data);
}

char *backups_path(const struct controller *c, const char *uuid)
{
	return xasprintf("%s/backups/%s.json", c->data, uuid);
}

/* ---- a run ------------------------------------------------------------------------------------ */

static void run_free(struct run *r)
{
	if (r->passphrase)
		OPENSSL_cleanse(r->passphrase, strlen(r->passphrase));
	snapshot_free(r->snapshot);
	free(r->passphrase);
	free(r->scheduler);
	free(r->config);
	free(r->tenant);
	free(r->prefix);
	free(r->folder);
	free(r->path);
	free(r);
}

static void run_work(struct job *j)
{
	struct run *r = CONTAINER_OF(j, struct run, job);
	CLEANUP_FREE char *text = archive_make(r->snapshot, r->passphrase);
	int rc = 0;

	if (mkdir(r->folder, 0700) < 0 && errno != EEXIST)
		rc = -errno;
	if (rc == 0)
		rc = file_replace(r->path, text, strlen(text), 0600);
	if (rc < 0)
		err_set(&r->e, rc, NULL, "Cannot write %s: %s.", r->path, strerror(-rc));
}

static struct change_by by_system(const char *tenant)
{
	return (struct change_by){ .user = "system", .client = "", .tenant = tenant, .internal = true };
}

static int note_backup(struct change *c, const struct run *r, struct err *e)
{
	CLEANUP_JSON json_t *v = json_pack("{s:s, s:s}", "file_name", r->file_name, "timestamp", r->timestamp);
	char uuid[UUID_MAX];

	json_object_set_new(v, "scheduler_ref", json_sprintf("/api/scheduler/%s", r->scheduler));
	json_object_set_new(v, "backup_config_ref", json_sprintf("/api/backupconfiguration/%s", r->config));
	json_object_set_new(v, "local_file_url", json_sprintf("/api/backup/%s/file", r->uuid));
	snprintf(uuid, sizeof(uuid), "%s", r->uuid);
	return change_create(c, kind_find("backup"), v, uuid, e);
}

struct kept {
	const char *config;
	json_t *uuids; /* oldest first */
};

static int of_config(void *arg, const struct object *o)
{
	const struct kept *k = arg;

	if (strcmp(ref_target(json_str(o->body, "backup_config_ref", NULL)), k->config) == 0)
		json_array_append_new(k->uuids, json_string(o->uuid));
	return 0;
}

static int forget_oldest(struct change *c, const struct run *r, struct err *e)
{
	struct kept k = { r->config, json_array() };
	int rc = 0;

	store_each(c->store, "backup", of_config, &k);
	for (size_t i = 0; rc == 0 && i + r->keep < json_array_size(k.uuids); i++)
		rc = change_delete(c, kind_find("backup"), json_string_value(json_array_get(k.uuids, i)), e);
	json_decref(k.uuids);
	return rc;
}

/* The object, what it displaces, and that the scheduler ran: all at once. */
static void note(struct run *r, const struct object *scheduler)
{
	struct controller *c = r->owner->c;
	struct change_by by = by_system(r->tenant);
	CLEANUP_FREE char *last = xasprintf("%llu", (unsigned long long)r->at_us);
	struct err lost = { 0 };
	struct change change;
	int rc;

	change_begin(&change, c->store, &by);
	rc = r->e.code ? 0 : note_backup(&change, r, &r->e);
	if (rc == 0 && !r->e.code)
		rc = forget_oldest(&change, r, &r->e);
	if (rc == 0)
		rc = txn_set(change.txn, SPACE, r->scheduler, last, &r->e);
	txn_event(change.txn, audit_event(r->e.code ? "SCHEDULER_ACTION_FAILURE" : "SCHEDULER_ACTION_SUCCESS", "CONFIG", "scheduler",
					  scheduler->uuid, scheduler->name, r->tenant, NULL, r->e.code ? "Backup by %s failed: %s%s"
										 : "Backup by %s: %s%s",
					  scheduler->name, r->e.code ? err_line(&r->e) : r->file_name,
					  r->e.code ? "" : r->passphrase ? ", secrets sealed with the passphrase"
									 : ", without secrets: there is no backup_passphrase"));
	if (rc == 0)
		rc = change_commit(&change, &lost);
	else
		change_abort(&change);
	model_notes_fini(&change.notes);
	if (rc < 0)
		log_error("backup_not_noted error=\"%s\"", err_line(r->e.code ? &r->e : &lost));
}

static void run_done(struct job *j)
{
	struct run *r = CONTAINER_OF(j, struct run, job);
	struct backups *b = r->owner;
	const struct object *scheduler = b->stopped ? NULL : store_get(b->c->store, "scheduler", r->scheduler);

	if (r->e.code)
		log_error("backup_failed error=\"%s\"", err_line(&r->e));
	if (scheduler)
		note(r, scheduler);
	if (r->e.code || !scheduler)
		unlink(r->path); /* it has no object */
	b->running = NULL;
	run_free(r);
	if (b->stopped)
		free(b);
}

/* "nightly_20261121_070000.json" */
static void name_file(struct run *r)
{
	char text[MOMENT_MAX];

	snprintf(r->file_name, sizeof(r->file_name), "%s_%s.json", r->prefix, moment_text(r->at_us, MOMENT_IN_NAME, text));
	moment_text(r->at_us, MOMENT_SECONDS, r->timestamp);
}

static void run_begin(struct backups *b, const struct object *scheduler, uint64_t now_us)
{
	struct store *s = b->c->store;
	const char *config = ref_target(json_str(scheduler->body, "backup_config_ref", NULL));
	const struct object *o = store_get(s, "backupconfiguration", config);
	const struct backup_configuration *cfg;
	struct arena arena = ARENA_INIT;
	struct run *r = xcalloc(1, sizeof(*r));
	char id[37];

	cfg = model_load(&backup_configuration_message, o ? o->body : NULL, &arena);
	r->owner = b;
	r->at_us = now_us;
	r->scheduler = xstrdup(scheduler->uuid);
	r->config = xstrdup(config);
	r->tenant = xstrdup(scheduler->tenant);
	r->prefix = xstrdup(cfg->backup_file_prefix && *cfg->backup_file_prefix ? cfg->backup_file_prefix : "backup");
	r->passphrase = cfg->backup_passphrase && *cfg->backup_passphrase ? xstrdup(cfg->backup_passphrase) : NULL;
	r->keep = (uint64_t)cfg->maximum_backups_stored;
	r->folder = folder_of(b->c);
	uuid4(id);
	snprintf(r->uuid, sizeof(r->uuid), "backup-%s", id);
	r->path = backups_path(b->c, r->uuid);
	name_file(r);
	if (cfg->has_save_local && !cfg->save_local)
		err_set(&r->e, -EINVAL, "save_local", "It is false, and backups are kept here only: there is nowhere to save it.");
	arena_fini(&arena);
	if (!r->e.code && strcmp(r->tenant, TENANT_ADMIN) == 0) {
		snapshot_full(s, b->c->data, &r->snapshot, &r->e);
	} else if (!r->e.code) {
		struct viewer v = { .store = s, .tenant = r->tenant };

		r->snapshot = snapshot_tenant(s, &v);
	}
	r->job.work = run_work;
	r->job.done = run_done;
	b->running = r;
	if (r->e.code || pool_post(b->c->pool, &r->job) < 0) {
		if (!r->e.code) { /* the next tick tries again */
			b->running = NULL;
			run_free(r);
			return;
		}
		run_done(&r->job);
	}
}

/* ---- when ------------------------------------------------------------------------------------- */

struct due {
	struct backups *b;
	uint64_t now_us, at_us;
	const struct object *first;
};

static int look(void *arg, const struct object *o)
{
	struct due *d = arg;
	CLEANUP_FREE char *last = store_value(d->b->c->store, SPACE, o->uuid);
	struct schedule s;
	uint64_t next;

	if (!json_bool(o->body, "enabled", true) || !json_str(o->body, "backup_config_ref", NULL) || schedule_read(o->body, &s, NULL) < 0)
		return 0;
	next = schedule_next(&s, last ? strtoull(last, NULL, 10) : 0, o->last_modified_us);
	if (next && next <= d->now_us && (!d->first || next < d->at_us)) {
		d->first = o;
		d->at_us = next;
	}
	return 0;
}

static void tick(struct timer *t)
{
	struct backups *b = CONTAINER_OF(t, struct backups, tick);
	struct due d = { .b = b, .now_us = wall_us() };

	if (!b->running) {
		store_each(b->c->store, "scheduler", look, &d);
		if (d.first)
			run_begin(b, d.first, d.now_us);
	}
	timer_in(b->c->loop, t, TICK_MS, tick);
}

/* ---- files without an object -------------------------------------------------------------------- */

static void committed(struct store_watch *w, uint64_t revision, const struct store_change *changes, size_t n)
{
	struct backups *b = CONTAINER_OF(w, struct backups, watch);

	(void)revision;
	for (size_t i = 0; i < n; i++) {
		CLEANUP_FREE char *path = NULL;

		/* One that is to run now does not wait. */
		if (strcmp(changes[i].kind->path, "scheduler") == 0)
			timer_in(b->c->loop, &b->tick, 0, tick);
		if (!changes[i].deleted || strcmp(changes[i].kind->path, "backup") != 0)
			continue;
		path = backups_path(b->c, changes[i].uuid);
		unlink(path);
	}
}

/* Of a run that was cut short. */
static void sweep(struct controller *c)
{
	CLEANUP_FREE char *folder = folder_of(c);
	DIR *d = opendir(folder);
	const struct dirent *i;

	while (d && (i = readdir(d))) {
		CLEANUP_FREE char *uuid = xstrndup(i->d_name, strcspn(i->d_name, "."));
		CLEANUP_FREE char *path = xasprintf("%s/%s", folder, i->d_name);

		if (*uuid && !store_get(c->store, "backup", uuid))
			unlink(path);
	}
	if (d)
		closedir(d);
}

struct backups *backups_start(struct controller *c)
{
	struct backups *b = xcalloc(1, sizeof(*b));

	b->c = c;
	sweep(c);
	b->watch.committed = committed;
	store_watch(c->store, &b->watch);
	timer_in(c->loop, &b->tick, TICK_MS, tick);
	return b;
}

void backups_stop(struct backups *b)
{
	if (!b)
		return;
	timer_stop(b->c->loop, &b->tick);
	store_unwatch(b->c->store, &b->watch);
	b->stopped = true;
	if (!b->running)
		free(b);
}

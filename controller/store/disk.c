/*
 * The file is in WAL mode with synchronous=FULL: a commit appends to the log and syncs it, and
 * the log is moved into the file now and then, inside some later commit. The connection holds the
 * file exclusively, so that SQLite keeps the index of the log in its own memory and no
 * shared-memory file exists. Events of runtime are committed with synchronous=NORMAL, which
 * leaves out the sync; the next full commit syncs the log and them with it.
 */
#include "controller/store/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "controller/store/staged.h"

#define APPLICATION_ID 0x53707772 /* "Spwr" */

/* A number that is a macro, as text. */
#define TEXT(x) TEXT_(x)
#define TEXT_(x) #x
#define SET_APPLICATION "PRAGMA application_id = " TEXT(APPLICATION_ID) ";"
#define SET_FORMAT "PRAGMA user_version = " TEXT(DISK_FORMAT) ";"

static const char schema[] =
	"BEGIN;"
	"CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL,"
	" revision INTEGER NOT NULL, last_us INTEGER NOT NULL, next_event INTEGER NOT NULL) STRICT;"
	"CREATE TABLE object (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, uuid TEXT NOT NULL,"
	" tenant TEXT NOT NULL, cloud TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,"
	" revision INTEGER NOT NULL, created_revision INTEGER NOT NULL,"
	" last_modified_us INTEGER NOT NULL, system INTEGER NOT NULL,"
	" UNIQUE (kind, uuid)) STRICT;"
	"CREATE UNIQUE INDEX object_name ON object (kind, tenant, cloud, name) WHERE name <> '';"
	"CREATE TABLE event (id INTEGER PRIMARY KEY, us INTEGER NOT NULL, body TEXT NOT NULL) STRICT;"
	"CREATE INDEX event_us ON event (us);"
	"CREATE TABLE value (space TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
	" PRIMARY KEY (space, key)) STRICT, WITHOUT ROWID;"
	"INSERT INTO state VALUES (1, lower(hex(randomblob(16))), 0, 0, 1);" SET_APPLICATION
		SET_FORMAT "COMMIT;";

/* From any older format. */
static const char upgrade[] = "BEGIN; DROP TABLE IF EXISTS change;" SET_FORMAT "COMMIT;";

enum statement {
	Q_BEGIN,
	Q_COMMIT,
	Q_ROLLBACK,
	Q_STATE,
	Q_SET_STATE,
	Q_LOAD,
	Q_CREATE,
	Q_UPDATE,
	Q_DELETE,
	Q_VALUE,
	Q_VALUES,
	Q_ALL_VALUES,
	Q_SET,
	Q_UNSET,
	Q_EVENT,
	Q_TRIM_EVENTS,
	Q_EVENTS,
};

/* Every statement; prepared once. */
static const char *const sql_of[] = {
	[Q_BEGIN] = "BEGIN",
	[Q_COMMIT] = "COMMIT",
	[Q_ROLLBACK] = "ROLLBACK",
	[Q_STATE] = "SELECT epoch, revision, last_us, next_event,"
		    " ifnull((SELECT min(id) FROM event), next_event) FROM state",
	[Q_SET_STATE] = "UPDATE state SET epoch = ?, revision = ?, last_us = ?, next_event = ?",
	[Q_LOAD] = "SELECT kind, uuid, tenant, cloud, name, body, revision, created_revision,"
		   " last_modified_us, system FROM object ORDER BY id",
	[Q_CREATE] = "INSERT INTO object (kind, uuid, tenant, cloud, name, body, revision,"
		     " created_revision, last_modified_us, system)"
		     " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[Q_UPDATE] = "UPDATE object SET name = ?, body = ?, revision = ?, last_modified_us = ?"
		     " WHERE kind = ? AND uuid = ?",
	[Q_DELETE] = "DELETE FROM object WHERE kind = ? AND uuid = ?",
	[Q_VALUE] = "SELECT value FROM value WHERE space = ? AND key = ?",
	[Q_VALUES] = "SELECT key, value FROM value WHERE space = ? ORDER BY key",
	[Q_ALL_VALUES] = "SELECT space, key, value FROM value ORDER BY space, key",
	[Q_SET] = "INSERT OR REPLACE INTO value VALUES (?, ?, ?)",
	[Q_UNSET] = "DELETE FROM value WHERE space = ? AND key = ?",
	[Q_EVENT] = "INSERT INTO event VALUES (?, ?, ?)",
	[Q_TRIM_EVENTS] = "DELETE FROM event WHERE id < ?",
	[Q_EVENTS] = "SELECT id, us, body FROM event WHERE us BETWEEN ? AND ? ORDER BY us DESC",
};
#define N_STATEMENTS ARRAY_SIZE(sql_of)

struct disk {
	char *path; /* of store.db */
	int lock_fd;
	sqlite3 *db;
	sqlite3_stmt *stmts[N_STATEMENTS];
	int failed; /* SQLite's code of the first failure in this transaction */
	char *why; /* ... and its sentence */
	bool sync; /* commits are synced */
	bool broken; /* nothing is written any more */
};

static int errno_of(int sqlite_code)
{
	switch (sqlite_code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		return -EACCES;
	default:
		return -EIO;
	}
}

/* ---- statements ------------------------------------------------------ */

/* Bind by format: 's' a string, 'i' a uint64_t. Strings must live until the statement is reset. */
static sqlite3_stmt *bind(struct disk *d, enum statement q, const char *format, ...)
{
	sqlite3_stmt *st = d->stmts[q];
	va_list ap;

	va_start(ap, format);
	for (int i = 1; *format; i++, format++) {
		if (*format == 's')
			sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
		else
			sqlite3_bind_int64(st, i, (sqlite3_int64)va_arg(ap, uint64_t));
	}
	va_end(ap);
	return st;
}

static void release(sqlite3_stmt *st)
{
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

static void remember_failure(struct disk *d, int code)
{
	if (d->failed)
		return;
	d->failed = code;
	d->why = xstrdup(sqlite3_errmsg(d->db));
}

static void run(struct disk *d, sqlite3_stmt *st)
{
	int rc = SQLITE_OK;

	if (!d->failed)
		rc = sqlite3_step(st);
	if (rc != SQLITE_OK && rc != SQLITE_DONE)
		remember_failure(d, rc);
	release(st);
}

static const char *text_at(sqlite3_stmt *st, int column)
{
	return (const char *)sqlite3_column_text(st, column);
}

static uint64_t number_at(sqlite3_stmt *st, int column)
{
	return (uint64_t)sqlite3_column_int64(st, column);
}

/* ---- opening --------------------------------------------------------- */

static bool is_ours_or_empty(int dir_fd)
{
	struct dirent *entry;
	bool empty = true;
	DIR *dir;
	int fd;

	if (faccessat(dir_fd, "store.db", F_OK, 0) == 0)
		return true;
	fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			empty = false;
	closedir(dir);
	return empty;
}

/*
 * Nobody else may look into the folder; a folder with other people's things in it is not ours to
 * close, though.
 */
static int open_folder(const char *dir, int *out, struct err *e)
{
	CLEANUP_FD int fd = -1;
	struct stat st;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(e, -errno, NULL, "Cannot make the data folder %s: %s.", dir,
			       strerror(errno));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, -errno, NULL, "Cannot open the data folder %s: %s.", dir,
			       strerror(errno));
	if ((st.st_mode & 077) && (!is_ours_or_empty(fd) || fchmod(fd, 0700) < 0))
		return err_set(
			e, -EPERM, NULL,
			"The data folder %s is open to others (mode %04o) and holds other things: "
			"give an empty folder, or chmod it to 0700.",
			dir, st.st_mode & 07777);
	*out = fd;
	fd = -1;
	return 0;
}

static int lock_folder(struct disk *d, int dir_fd, const char *dir, struct err *e)
{
	char pid[16] = "";
	ssize_t n;

	d->lock_fd = openat(dir_fd, "store.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0)
		return err_set(e, -errno, NULL, "Cannot open %s/store.lock: %s.", dir,
			       strerror(errno));
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		n = pread(d->lock_fd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? n : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		return err_set(e, -EBUSY, NULL,
			       "The data folder %s is in use by another controller (process %s).",
			       dir, pid[0] ? pid : "unknown");
	}
	/* Only for the sentence above: a lost line harms nothing. */
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(d->lock_fd, 0) < 0 || pwrite(d->lock_fd, pid, (size_t)n, 0) != n)
		return err_set(e, -EIO, NULL, "Cannot write %s/store.lock: %s.", dir,
			       strerror(errno));
	return 0;
}

static int damaged(struct disk *d, const char *what, struct err *e)
{
	return err_set(e, -EUCLEAN, NULL,
		       "%s is damaged (%s): restore a backup, or move the file away to start anew.",
		       d->path, what);
}

static int explain(struct disk *d, int code, const char *what, struct err *e)
{
	int rc = errno_of(code);

	if (rc == -EUCLEAN)
		return damaged(d, sqlite3_errmsg(d->db), e);
	return err_set(e, rc, NULL, "Cannot %s %s: %s.", what, d->path, sqlite3_errmsg(d->db));
}

/* First column of the first row of SQL: a number. */
static int ask(struct disk *d, const char *sql, int64_t *out, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(d->db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : explain(d, rc, "read", e);
}

static int check_whole(struct disk *d, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(d->db, "PRAGMA quick_check(1)", -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		rc = explain(d, rc, "read", e);
	else if (strcmp(text_at(st, 0), "ok"))
		rc = damaged(d, text_at(st, 0), e);
	else
		rc = 0;
	sqlite3_finalize(st);
	return rc;
}

static int prepare_file(struct disk *d, struct err *e)
{
	int64_t application, format, tables;
	int rc;

	/* Exclusive first: it decides where the index of the log lives. */
	rc = sqlite3_exec(d->db,
			  "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF;"
			  "PRAGMA cell_size_check = ON",
			  NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return explain(d, rc, "open", e);
	if (ask(d, "PRAGMA application_id", &application, e) ||
	    ask(d, "PRAGMA user_version", &format, e) ||
	    ask(d, "SELECT count(*) FROM sqlite_schema", &tables, e))
		return e ? e->code : -EIO;
	if (tables && application != APPLICATION_ID)
		return err_set(e, -EINVAL, NULL, "%s is not a store of this program.", d->path);
	if (format > DISK_FORMAT)
		return err_set(
			e, -EPROTONOSUPPORT, NULL,
			"%s was written by a newer release (format %lld; this one reads up to %d).",
			d->path, (long long)format, DISK_FORMAT);
	/* The limit is for what one huge transaction leaves behind. */
	rc = sqlite3_exec(d->db,
			  "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
			  "PRAGMA journal_size_limit = 16777216",
			  NULL, NULL, NULL);
	d->sync = true;
	if (rc == SQLITE_OK && !tables)
		rc = sqlite3_exec(d->db, schema, NULL, NULL, NULL);
	else if (rc == SQLITE_OK && format < DISK_FORMAT)
		rc = sqlite3_exec(d->db, upgrade, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return explain(d, rc, tables ? "open" : "make", e);
	return check_whole(d, e);
}

static int prepare_statements(struct disk *d, struct err *e)
{
	for (size_t i = 0; i < N_STATEMENTS; i++) {
		int rc = sqlite3_prepare_v3(d->db, sql_of[i], -1, SQLITE_PREPARE_PERSISTENT,
					    &d->stmts[i], NULL);

		if (rc != SQLITE_OK)
			return explain(d, rc, "open", e);
	}
	return 0;
}

static int read_state(struct disk *d, struct disk_state *state, struct err *e)
{
	sqlite3_stmt *st = d->stmts[Q_STATE];
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW) {
		snprintf(state->epoch, sizeof(state->epoch), "%s", text_at(st, 0));
		state->revision = number_at(st, 1);
		state->last_us = number_at(st, 2);
		state->next_event = number_at(st, 3);
		state->first_event = number_at(st, 4);
		rc = 0;
	} else {
		rc = rc == SQLITE_DONE ? damaged(d, "no state", e) : explain(d, rc, "read", e);
	}
	release(st);
	return rc;
}

static int open_file(struct disk *d, int dir_fd, struct err *e)
{
	/* Made here, for its mode: SQLite gives the log the same. */
	int fd = openat(dir_fd, "store.db", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc;

	if (fd < 0)
		return err_set(e, -errno, NULL, "Cannot open %s: %s.", d->path, strerror(errno));
	close(fd);
	if (fsync(dir_fd) < 0)
		return err_set(e, -errno, NULL, "Cannot sync the data folder: %s.",
			       strerror(errno));
	rc = sqlite3_open_v2(d->path, &d->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
			     NULL);
	return rc == SQLITE_OK ? 0 : explain(d, rc, "open", e);
}

int disk_open(const char *dir, struct disk **out, struct disk_state *state, struct err *e)
{
	struct disk *d = xcalloc(1, sizeof(*d));
	CLEANUP_FD int dir_fd = -1;
	int rc;

	d->path = xasprintf("%s/store.db", dir);
	d->lock_fd = -1;
	rc = open_folder(dir, &dir_fd, e);
	if (!rc)
		rc = lock_folder(d, dir_fd, dir, e);
	if (!rc)
		rc = staged_enter(dir_fd, dir, e);
	if (!rc)
		rc = open_file(d, dir_fd, e);
	if (!rc)
		rc = prepare_file(d, e);
	if (!rc)
		rc = prepare_statements(d, e);
	if (!rc)
		rc = read_state(d, state, e);
	if (rc) {
		disk_close(d);
		d = NULL;
	}
	*out = d;
	return rc;
}

void disk_close(struct disk *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize(d->stmts[i]);
	sqlite3_close(d->db);
	/* Last: the folder is free only when the file is. */
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	free(d->why);
	free(d->path);
	free(d);
}

int disk_load(struct disk *d, int (*f)(void *arg, const struct disk_row *r, struct err *e),
	      void *arg, struct err *e)
{
	sqlite3_stmt *st = d->stmts[Q_LOAD];
	int rc, answer = 0;

	while (!answer && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct disk_row r = {
			.kind = text_at(st, 0),
			.uuid = text_at(st, 1),
			.tenant = text_at(st, 2),
			.cloud = text_at(st, 3),
			.name = text_at(st, 4),
			.body = text_at(st, 5),
			.revision = number_at(st, 6),
			.created_revision = number_at(st, 7),
			.last_modified_us = number_at(st, 8),
			.system = number_at(st, 9),
		};

		answer = f(arg, &r, e);
	}
	if (!answer && rc != SQLITE_DONE)
		answer = explain(d, rc, "read", e);
	release(st);
	return answer;
}

/* ---- writing --------------------------------------------------------- */

/*
 * Executed each time: SQLite sets this when it *prepares* the pragma, so a prepared one would set
 * nothing.
 */
static void set_sync(struct disk *d, bool sync)
{
	int rc;

	if (d->failed || d->sync == sync)
		return;
	rc = sqlite3_exec(d->db, sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
			  NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		remember_failure(d, rc);
	else
		d->sync = sync;
}

void disk_begin(struct disk *d, bool sync)
{
	d->failed = SQLITE_OK;
	free(d->why);
	d->why = NULL;
	if (d->broken) {
		d->failed = SQLITE_IOERR;
		d->why = xstrdup("an earlier write failed; start the controller again");
		return;
	}
	set_sync(d, sync);
	run(d, d->stmts[Q_BEGIN]);
}

void disk_create(struct disk *d, const struct disk_row *r)
{
	run(d,
	    bind(d, Q_CREATE, "ssssssiiii", r->kind, r->uuid, r->tenant, r->cloud, r->name, r->body,
		 r->revision, r->created_revision, r->last_modified_us, (uint64_t)r->system));
}

void disk_update(struct disk *d, const struct disk_row *r)
{
	run(d, bind(d, Q_UPDATE, "ssiiss", r->name, r->body, r->revision, r->last_modified_us,
		    r->kind, r->uuid));
}

void disk_delete(struct disk *d, const char *kind, const char *uuid)
{
	run(d, bind(d, Q_DELETE, "ss", kind, uuid));
}

void disk_set(struct disk *d, const char *space, const char *key, const char *value)
{
	if (value)
		run(d, bind(d, Q_SET, "sss", space, key, value));
	else
		run(d, bind(d, Q_UNSET, "ss", space, key));
}

void disk_event(struct disk *d, uint64_t id, uint64_t us, const char *body)
{
	run(d, bind(d, Q_EVENT, "iis", id, us, body));
}

int disk_commit(struct disk *d, const struct disk_state *state, struct err *e)
{
	int rc;

	run(d, bind(d, Q_TRIM_EVENTS, "i", state->first_event));
	run(d, bind(d, Q_SET_STATE, "siii", state->epoch, state->revision, state->last_us,
		    state->next_event));
	run(d, d->stmts[Q_COMMIT]);
	if (!d->failed)
		return 0;
	rc = errno_of(d->failed);
	/*
	 * A full disk leaves everything as it was; after anything else the file is not to be
	 * trusted.
	 */
	if (rc != -ENOSPC)
		d->broken = true;
	if (!sqlite3_get_autocommit(d->db)) {
		sqlite3_step(d->stmts[Q_ROLLBACK]);
		release(d->stmts[Q_ROLLBACK]);
	}
	return err_set(e, rc, NULL, "The change was not stored: %s.", d->why);
}

int disk_sweep(struct disk *d, struct err *e)
{
	int rc = sqlite3_exec(d->db, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : explain(d, rc, "rewrite", e);
}

/* ---- reading --------------------------------------------------------- */

char *disk_value(struct disk *d, const char *space, const char *key)
{
	sqlite3_stmt *st = bind(d, Q_VALUE, "ss", space, key);
	char *value = NULL;

	if (sqlite3_step(st) == SQLITE_ROW)
		value = xstrdup(text_at(st, 0));
	release(st);
	return value;
}

int disk_values(struct disk *d, const char *space,
		int (*f)(void *arg, const char *key, const char *value), void *arg)
{
	sqlite3_stmt *st = bind(d, Q_VALUES, "s", space);
	int rc, answer = 0;

	while (!answer && (rc = sqlite3_step(st)) == SQLITE_ROW)
		answer = f(arg, text_at(st, 0), text_at(st, 1));
	if (!answer && rc != SQLITE_DONE)
		answer = errno_of(rc);
	release(st);
	return answer;
}

int disk_all_values(struct disk *d,
		    int (*f)(void *arg, const char *space, const char *key, const char *value),
		    void *arg)
{
	sqlite3_stmt *st = bind(d, Q_ALL_VALUES, "");
	int rc, answer = 0;

	while (!answer && (rc = sqlite3_step(st)) == SQLITE_ROW)
		answer = f(arg, text_at(st, 0), text_at(st, 1), text_at(st, 2));
	if (!answer && rc != SQLITE_DONE)
		answer = errno_of(rc);
	release(st);
	return answer;
}

int disk_events(struct disk *d, uint64_t start_us, uint64_t end_us,
		int (*f)(void *arg, uint64_t id, uint64_t us, const char *body), void *arg)
{
	sqlite3_stmt *st = bind(d, Q_EVENTS, "ii", MIN(start_us, (uint64_t)INT64_MAX),
				MIN(end_us, (uint64_t)INT64_MAX));
	int rc, answer = 0;

	while (!answer && (rc = sqlite3_step(st)) == SQLITE_ROW)
		answer = f(arg, number_at(st, 0), number_at(st, 1), text_at(st, 2));
	if (!answer && rc != SQLITE_DONE)
		answer = errno_of(rc);
	release(st);
	return answer;
}

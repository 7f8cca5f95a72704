#include "controller/store/power_vfs.h"

#include <limits.h>
#include <sqlite3.h>

#include "base/base.h"
#include "base/buf.h"

#define SECTOR 512
#define FILES_MAX 8

struct bytes {
	unsigned char *data;
	size_t len, size;
};

/* A write (len > 0) or a truncation that the disk has not seen yet. */
struct pending {
	size_t at, len;
	unsigned char *data;
};

struct file {
	char path[PATH_MAX];
	bool exists, exists_on_disk;
	struct bytes seen, disk;
	struct pending *pending;
	size_t n_pending;
};

struct handle {
	sqlite3_file base;
	struct file *file;
	bool folder_too; /* the next sync of it syncs the folder as well */
};

static struct file files[FILES_MAX];
static enum power_lie lie;
static uint64_t operations, fails_at;
static bool off;
static int refusal;

/* ---- bytes ------------------------------------------------------------ */

static void bytes_resize(struct bytes *b, size_t len)
{
	if (len > b->size) {
		b->size = len * 2;
		b->data = xrealloc(b->data, b->size);
	}
	if (len > b->len)
		memset(b->data + b->len, 0, len - b->len);
	b->len = len;
}

static void bytes_write(struct bytes *b, size_t at, const void *p, size_t len)
{
	if (at + len > b->len)
		bytes_resize(b, at + len);
	memcpy(b->data + at, p, len);
}

static void bytes_copy(struct bytes *to, const struct bytes *from)
{
	bytes_resize(to, from->len);
	if (from->len)
		memcpy(to->data, from->data, from->len);
}

static void forget_pending(struct file *f)
{
	for (size_t i = 0; i < f->n_pending; i++)
		free(f->pending[i].data);
	free(f->pending);
	f->pending = NULL;
	f->n_pending = 0;
}

static void remember_pending(struct file *f, size_t at, const void *p, size_t len)
{
	struct pending *w;

	f->pending = xrealloc(f->pending, (f->n_pending + 1) * sizeof(*f->pending));
	w = &f->pending[f->n_pending++];
	*w = (struct pending){ .at = at, .len = len };
	if (len) {
		w->data = xmalloc(len);
		memcpy(w->data, p, len);
	}
}

/* ---- the power -------------------------------------------------------- */

void power_reset(enum power_lie how)
{
	for (size_t i = 0; i < FILES_MAX; i++) {
		forget_pending(&files[i]);
		free(files[i].seen.data);
		free(files[i].disk.data);
		files[i] = (struct file){ 0 };
	}
	lie = how;
	off = false;
	refusal = 0;
	fails_at = 0;
}

void power_fail_after(uint64_t n)
{
	fails_at = operations + n;
}

bool power_is_off(void)
{
	return off;
}

void power_refuse(int code)
{
	refusal = code;
}

/* One operation that changes something; true: the power fails with it. */
static bool fails_now(void)
{
	if (!off && ++operations == fails_at)
		off = true;
	return off;
}

static void survive_by_chance(struct file *f, uint64_t (*random)(void))
{
	for (size_t i = 0; i < f->n_pending; i++) {
		const struct pending *w = &f->pending[i];

		if (!w->len && random() % 2)
			bytes_resize(&f->disk, w->at);
		for (size_t done = 0; done < w->len;) {
			size_t n = MIN(w->len - done, SECTOR - (w->at + done) % SECTOR);

			if (random() % 2)
				bytes_write(&f->disk, w->at + done, w->data + done, n);
			done += n;
		}
	}
}

void power_back(bool tear, uint64_t (*random)(void))
{
	for (size_t i = 0; i < FILES_MAX; i++) {
		struct file *f = &files[i];

		if (tear) {
			survive_by_chance(f, random);
			if (f->exists != f->exists_on_disk)
				f->exists_on_disk = random() % 2;
		}
		forget_pending(f);
		f->exists = f->exists_on_disk;
		if (!f->exists)
			f->disk.len = 0;
		bytes_copy(&f->seen, &f->disk);
	}
	off = false;
	fails_at = 0;
}

/* ---- files ------------------------------------------------------------ */

static struct file *find(const char *path)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (!strcmp(files[i].path, path))
			return &files[i];
	return NULL;
}

static int file_close(sqlite3_file *h)
{
	(void)h;
	return SQLITE_OK;
}

static int on_read(sqlite3_file *h, void *p, int n, sqlite3_int64 at)
{
	const struct bytes *b = &((struct handle *)h)->file->seen;
	size_t there = (size_t)at < b->len ? MIN((size_t)n, b->len - (size_t)at) : 0;

	if (off)
		return SQLITE_IOERR_READ;
	if (there)
		memcpy(p, b->data + at, there);
	memset((char *)p + there, 0, (size_t)n - there);
	return there == (size_t)n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int on_write(sqlite3_file *h, const void *p, int n, sqlite3_int64 at)
{
	struct file *f = ((struct handle *)h)->file;

	if (refusal)
		return refusal;
	/*
	 * The write during which the power fails may have come to the disk in part, like those
	 * before it.
	 */
	if (!off)
		remember_pending(f, (size_t)at, p, (size_t)n);
	if (fails_now())
		return SQLITE_IOERR_WRITE;
	bytes_write(&f->seen, (size_t)at, p, (size_t)n);
	return SQLITE_OK;
}

static int on_truncate(sqlite3_file *h, sqlite3_int64 size)
{
	struct file *f = ((struct handle *)h)->file;

	if (refusal)
		return refusal;
	if (!off)
		remember_pending(f, (size_t)size, NULL, 0);
	if (fails_now())
		return SQLITE_IOERR_TRUNCATE;
	bytes_resize(&f->seen, (size_t)size);
	return SQLITE_OK;
}

static int on_sync(sqlite3_file *h, int flags)
{
	struct handle *handle = (struct handle *)h;
	struct file *f = handle->file;
	(void)flags;

	if (refusal)
		return refusal;
	if (fails_now())
		return SQLITE_IOERR_FSYNC;
	if (lie == POWER_SYNC_DOES_NOTHING)
		return SQLITE_OK;
	bytes_copy(&f->disk, &f->seen);
	forget_pending(f);
	if (handle->folder_too)
		for (size_t i = 0; i < FILES_MAX; i++)
			files[i].exists_on_disk = files[i].exists;
	handle->folder_too = false;
	return SQLITE_OK;
}

static int on_size(sqlite3_file *h, sqlite3_int64 *size)
{
	*size = (sqlite3_int64)((struct handle *)h)->file->seen.len;
	return off ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

static int on_lock(sqlite3_file *h, int level)
{
	(void)h, (void)level;
	return SQLITE_OK;
}

static int on_check_lock(sqlite3_file *h, int *taken)
{
	(void)h;
	*taken = 0;
	return SQLITE_OK;
}

static int on_control(sqlite3_file *h, int op, void *arg)
{
	(void)h, (void)op, (void)arg;
	return SQLITE_NOTFOUND;
}

static int sector_size(sqlite3_file *h)
{
	(void)h;
	return SECTOR;
}

static int characteristics(sqlite3_file *h)
{
	(void)h;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* Version 1: without shared memory. The store keeps the index of the log in its own. */
static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = file_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_size,
	.xLock = on_lock,
	.xUnlock = on_lock,
	.xCheckReservedLock = on_check_lock,
	.xFileControl = on_control,
	.xSectorSize = sector_size,
	.xDeviceCharacteristics = characteristics,
};

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *h, int flags, int *out_flags)
{
	struct handle *handle = (struct handle *)h;
	struct file *f;
	(void)vfs;

	h->pMethods = NULL;
	if (off)
		return SQLITE_CANTOPEN;
	must(path); /* no temporary files */
	f = find(path);
	if (!f)
		f = find("");
	must(f);
	snprintf(f->path, sizeof(f->path), "%s", path);
	if (!f->exists) {
		f->exists = true;
		f->seen.len = f->disk.len = 0;
		forget_pending(f);
		/* The store makes its file itself, and syncs the folder. */
		if (flags & SQLITE_OPEN_MAIN_DB)
			f->exists_on_disk = true;
	}
	handle->file = f;
	/*
	 * What the unix files of SQLite do: the first sync of a journal or a log behind its
	 * opening syncs the folder, whether they made it or found it. (Not that of a journal that
	 * is only played back.)
	 */
	handle->folder_too = (flags & SQLITE_OPEN_CREATE) &&
			     (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL));
	h->pMethods = &methods;
	if (out_flags)
		*out_flags = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
	struct file *f = find(path);
	(void)vfs;

	if (fails_now())
		return SQLITE_IOERR_DELETE;
	if (!f || !f->exists)
		return SQLITE_IOERR_DELETE_NOENT;
	f->exists = false;
	if (sync_folder && lie == POWER_HONEST)
		f->exists_on_disk = false;
	return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *yes)
{
	struct file *f = find(path);
	(void)vfs, (void)flags;

	/* Like the unix files: an empty file is as good as none. */
	*yes = f && f->exists && f->seen.len > 0;
	return off ? SQLITE_IOERR_ACCESS : SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
	(void)vfs;
	snprintf(out, (size_t)size, "%s", path);
	return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int n, char *out)
{
	(void)vfs;
	random_bytes(out, (size_t)n);
	return n;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return us;
}

static int vfs_time(sqlite3_vfs *vfs, double *julian)
{
	(void)vfs;
	*julian = 2440587.5 + (double)wall_us() / 86400e6;
	return SQLITE_OK;
}

static int vfs_error(sqlite3_vfs *vfs, int n, char *out)
{
	(void)vfs, (void)n, (void)out;
	return 0;
}

void power_register(void)
{
	static sqlite3_vfs vfs = {
		.iVersion = 1,
		.szOsFile = sizeof(struct handle),
		.mxPathname = PATH_MAX - 16,
		.zName = "power",
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_full_path,
		.xRandomness = vfs_random,
		.xSleep = vfs_sleep,
		.xCurrentTime = vfs_time,
		.xGetLastError = vfs_error,
	};

	must(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
}

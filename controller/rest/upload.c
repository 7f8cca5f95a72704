#include "controller/rest/upload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "base/moment.h"
#include "controller/rest/multipart.h"

#define ROOM_FOR_STORE (128ULL << 20) /* of the disk, that no upload may take */
#define LOOK_AT_DISK   (8ULL << 20) /* bytes between two looks */

enum { FIELD_MAX = 4096, FIELDS_MAX = 16 };

struct files {
	int root;
	char *path;
	/* Atomic: the API's thread adds while it writes, the pool and the core take away. */
	uint64_t bytes;
	unsigned count;
};

struct upload {
	struct multipart_user user;
	struct multipart multipart;
	struct files *files;
	int fd; /* O_TMPFILE */
	char name[256];
	uint64_t size, looked;
	bool in_file, has_file, stored;
	struct {
		char name[128];
		struct buf value;
	} field[FIELDS_MAX];
	size_t n_fields;
	struct err error;
};

/* ---- paths -------------------------------------------------------------------------------- */

static bool name_is_good(const char *s, size_t n)
{
	json_t *v = json_stringn(s, n); /* it knows UTF-8 */
	bool good = v && n && n < 256 && s[0] != '.' && !memchr(s, '\\', n);

	json_decref(v);
	for (size_t i = 0; good && i < n; i++)
		good = (unsigned char)s[i] >= ' ' && s[i] != 0x7f && s[i] != '/';
	return good;
}

/* The folder NAME in AT, which is closed; with MAKE it is made. A descriptor, or negative errno. */
static int enter(int at, const char *name, bool make)
{
	int next, rc;

	if (make && mkdirat(at, name, 0700) < 0 && errno != EEXIST) {
		rc = -errno;
		close(at);
		return rc;
	}
	next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	rc = next < 0 ? -errno : next;
	close(at);
	return rc;
}

static int path_check(const char *path, struct err *e)
{
	unsigned depth = 0;
	bool good = strlen(path) <= FILE_PATH_MAX;
	size_t n;

	for (const char *p = path + strspn(path, "/"); good && *p; p += n, p += strspn(p, "/")) {
		n = strcspn(p, "/");
		good = name_is_good(p, n) && ++depth <= FILE_DEPTH_MAX;
	}
	return good ? 0
		    : err_set(e, -EINVAL, NULL,
			      "'%.200s' is no path of a file: at most %d parts, none of them hidden.",
			      path, FILE_DEPTH_MAX);
}

/*
 * The folder that holds the last part of PATH, which comes out in LAST; "" when PATH has no parts.
 * MAKE: with all folders on the way. A descriptor, or negative errno.
 */
static int walk(struct files *f, const char *tenant, const char *path, bool make,
		char last[static 256], struct err *e)
{
	int rc = path_check(path, e), at;
	size_t n;

	if (rc < 0)
		return rc;
	last[0] = '\0';
	at = fcntl(f->root, F_DUPFD_CLOEXEC, 0);
	if (at >= 0)
		at = enter(at, tenant, make);
	for (const char *p = path + strspn(path, "/"); at >= 0 && *p; p += n, p += strspn(p, "/")) {
		n = strcspn(p, "/");
		if (*last)
			at = enter(at, last, make);
		memcpy(last, p, n);
		last[n] = '\0';
	}
	if (at >= 0)
		return at;
	if (make && (at == -ENOTDIR || at == -ELOOP))
		return err_set(e, -EINVAL, NULL, "'%.200s' leads through a file.", path);
	if (at == -ENOENT || at == -ENOTDIR || at == -ELOOP)
		return err_set(e, -ENOENT, NULL, "There is no file '%.200s'.", path);
	return err_set(e, at == -ENOSPC || at == -EDQUOT ? -ENOSPC : -EIO, NULL,
		       "The folder of '%.200s' cannot be opened: %s.", path, strerror(-at));
}

static int no_file(const char *path, struct err *e)
{
	return err_set(e, -ENOENT, NULL, "There is no file '%.200s'.", path);
}

/* ---- the tree ------------------------------------------------------------------------------ */

/* Calls F for all below the folder FD, which is closed, files before their folder. */
static void each_below(int fd, void (*f)(void *arg, int at, const char *name, const struct stat *st),
		       void *arg)
{
	DIR *d = fdopendir(fd);
	struct dirent *one;
	struct stat st;

	if (!d) {
		close(fd);
		return;
	}
	while ((one = readdir(d))) {
		if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0 ||
		    fstatat(fd, one->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			int below = openat(fd, one->d_name,
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (below >= 0)
				each_below(below, f, arg);
		}
		f(arg, fd, one->d_name, &st);
	}
	closedir(d);
}

static void count(void *arg, int at, const char *name, const struct stat *st)
{
	struct files *f = arg;

	(void)at;
	(void)name;
	if (S_ISREG(st->st_mode)) {
		f->bytes += (uint64_t)st->st_size;
		f->count++;
	}
}

int files_open(const char *data, struct files **out, struct err *e)
{
	struct files *f = xcalloc(1, sizeof(*f));
	int below;

	f->path = xasprintf("%s/files", data);
	if (mkdir(f->path, 0700) < 0 && errno != EEXIST)
		goto bad;
	f->root = open(f->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (f->root < 0)
		goto bad;
	below = openat(f->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (below >= 0)
		each_below(below, count, f);
	*out = f;
	return 0;
bad:
	err_set(e, -errno, NULL, "Cannot open the folder %s: %s.", f->path, strerror(errno));
	free(f->path);
	free(f);
	return e ? e->code : -EIO;
}

void files_close(struct files *f)
{
	if (!f)
		return;
	close(f->root);
	free(f->path);
	free(f);
}

static void gone(struct files *f, uint64_t bytes)
{
	__atomic_sub_fetch(&f->bytes, bytes, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&f->count, 1, __ATOMIC_RELAXED);
}

int files_make_folder(struct files *f, const char *tenant, const char *path, struct err *e)
{
	char last[256];
	int at = walk(f, tenant, path, true, last, e);

	if (at < 0)
		return at;
	if (*last)
		at = enter(at, last, true);
	if (at < 0)
		return err_set(e, at == -ENOTDIR ? -EEXIST : at, NULL,
			       "The folder '%.200s' cannot be made: %s.", path, strerror(-at));
	close(at);
	return 0;
}

int files_get(struct files *f, const char *tenant, const char *path, uint64_t *size, struct err *e)
{
	char last[256];
	int at = walk(f, tenant, path, false, last, e), fd;
	struct stat st;

	if (at < 0)
		return at;
	if (!*last) {
		close(at);
		return err_set(e, -EISDIR, NULL, "'%.200s' is a folder.", path);
	}
	fd = openat(at, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	close(at);
	if (fd < 0 || fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
		if (fd >= 0)
			close(fd);
		return no_file(path, e);
	}
	if (S_ISDIR(st.st_mode)) {
		close(fd);
		return err_set(e, -EISDIR, NULL, "'%.200s' is a folder.", path);
	}
	*size = (uint64_t)st.st_size;
	return fd;
}

static json_t *row(const char *folder, const char *name, const struct stat *st)
{
	char modified[MOMENT_MAX];

	return json_pack("{s:s, s:o, s:I, s:s, s:s}", "name", name, "uri",
			 json_sprintf("controller://%s%s%s", folder, *folder ? "/" : "", name),
			 "size", (json_int_t)(S_ISREG(st->st_mode) ? st->st_size : 0), "type",
			 S_ISDIR(st->st_mode) ? "FOLDER" : "FILE", "modified",
			 moment_text((uint64_t)st->st_mtime * 1000000, MOMENT_SECONDS, modified));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(json_str(*(json_t *const *)a, "name", ""),
		      json_str(*(json_t *const *)b, "name", ""));
}

static json_t *sorted(json_t **rows, size_t n)
{
	json_t *out = json_array();

	if (n)
		qsort(rows, n, sizeof(json_t *), by_name);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, rows[i]);
	free(rows);
	return out;
}

int files_list(struct files *f, const char *tenant, const char *path, json_t **out, struct err *e)
{
	CLEANUP_FREE char *folder = xstrdup(path + strspn(path, "/"));
	char last[256];
	int at = walk(f, tenant, path, false, last, e), fd;
	json_t **rows = NULL;
	struct dirent *one;
	struct stat st;
	size_t n = 0;
	DIR *d;

	if (at < 0)
		return at;
	for (size_t len = strlen(folder); len && folder[len - 1] == '/'; len--)
		folder[len - 1] = '\0';
	fd = openat(at, *last ? last : ".", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	close(at);
	if (fd < 0 || fstat(fd, &st) < 0) {
		if (fd >= 0)
			close(fd);
		return no_file(path, e);
	}
	if (!S_ISDIR(st.st_mode)) {
		close(fd);
		folder[strlen(folder) - strlen(last)] = '\0';
		if (*folder)
			folder[strlen(folder) - 1] = '\0';
		*out = json_pack("[o]", row(folder, last, &st));
		return 0;
	}
	d = fdopendir(fd);
	must(d);
	while ((one = readdir(d))) {
		if (!name_is_good(one->d_name, strlen(one->d_name)) ||
		    fstatat(fd, one->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (n % 64 == 0)
			rows = xrealloc(rows, (n + 64) * sizeof(json_t *));
		rows[n++] = row(folder, one->d_name, &st);
	}
	closedir(d);
	*out = sorted(rows, n);
	return 0;
}

int files_delete(struct files *f, const char *tenant, const char *path, struct err *e)
{
	char last[256];
	struct stat st;
	int at, rc = 0;

	if (!path[strspn(path, "/")])
		return err_set(e, -EINVAL, NULL, "Say which file is to be deleted.");
	at = walk(f, tenant, path, false, last, e);
	if (at < 0)
		return at;
	if (fstatat(at, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		rc = no_file(path, e);
	else if (unlinkat(at, last, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
		rc = err_set(e, errno == ENOTEMPTY || errno == EEXIST ? -EBUSY : -EIO, NULL,
			     errno == ENOTEMPTY || errno == EEXIST
				     ? "The folder '%.200s' is not empty."
				     : "'%.200s' cannot be deleted.",
			     path);
	else if (S_ISREG(st.st_mode))
		gone(f, (uint64_t)st.st_size);
	close(at);
	return rc;
}

static void delete_one(void *arg, int at, const char *name, const struct stat *st)
{
	struct files *f = arg;

	if (unlinkat(at, name, S_ISDIR(st->st_mode) ? AT_REMOVEDIR : 0) == 0 && S_ISREG(st->st_mode))
		gone(f, (uint64_t)st->st_size);
}

void files_forget(struct files *f, const char *tenant)
{
	int fd = openat(f->root, tenant, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	each_below(fd, delete_one, f);
	unlinkat(f->root, tenant, AT_REMOVEDIR);
}

/* ---- the parts of a body ---------------------------------------------------------------------- */

static const char *base_name(const char *file)
{
	for (const char *p = file; *p; p++)
		if (*p == '/' || *p == '\\')
			file = p + 1;
	return file;
}

int upload_rename(struct upload *u, const char *name, struct err *e)
{
	if (!name_is_good(name, strlen(name)))
		return err_set(e, -EINVAL, "name", "No file can be stored under it: at most 255 bytes, no slash, no dot in front.");
	snprintf(u->name, sizeof(u->name), "%s", name);
	return 0;
}

static int part(struct multipart_user *user, const char *name, const char *file, struct err *e)
{
	struct upload *u = CONTAINER_OF(user, struct upload, user);

	u->in_file = strcmp(name, "file") == 0;
	if (u->in_file) {
		const char *base = file ? base_name(file) : "";

		if (u->has_file)
			return err_set(e, -EINVAL, "file", "One file is uploaded at a time.");
		if (!name_is_good(base, strlen(base)))
			return err_set(e, -EINVAL, "file",
				       "It has no file name that can be stored: at most 255 bytes, no dot in front.");
		u->has_file = true;
		snprintf(u->name, sizeof(u->name), "%s", base);
		return 0;
	}
	if (u->n_fields == FIELDS_MAX || upload_field(u, name))
		return err_set(e, -EINVAL, NULL, "A field of the form comes twice.");
	snprintf(u->field[u->n_fields].name, sizeof(u->field[0].name), "%s", name);
	u->field[u->n_fields++].value = (struct buf){ .limit = FIELD_MAX };
	return 0;
}

/* The disk is also the store's. */
static int disk_has_room(struct upload *u, uint64_t more, struct err *e)
{
	struct statvfs v;

	if (fstatvfs(u->files->root, &v) < 0 ||
	    (uint64_t)v.f_bavail * v.f_frsize >= more + ROOM_FOR_STORE)
		return 0;
	return err_set(e, -ENOSPC, NULL, "The controller's disk has no room for the file.");
}

static int keep(struct upload *u, const char *data, size_t len, struct err *e)
{
	u->size += len;
	if (u->size > FILE_BYTES_MAX)
		return err_set(e, -EFBIG, "file", "A file has at most %llu bytes.", FILE_BYTES_MAX);
	if (__atomic_add_fetch(&u->files->bytes, len, __ATOMIC_RELAXED) > FILES_BYTES_MAX)
		return err_set(e, -EFBIG, "file", "The files of the controller have at most %llu bytes.",
			       FILES_BYTES_MAX);
	if (u->size - u->looked > LOOK_AT_DISK) {
		u->looked = u->size;
		if (disk_has_room(u, 0, e) < 0)
			return -ENOSPC;
	}
	while (len) {
		ssize_t n = write(u->fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, -ENOSPC, NULL, "The file cannot be written: %s.",
				       strerror(errno));
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int data(struct multipart_user *user, const char *data, size_t len, struct err *e)
{
	struct upload *u = CONTAINER_OF(user, struct upload, user);

	if (u->in_file)
		return keep(u, data, len, e);
	if (buf_put(&u->field[u->n_fields - 1].value, data, len) == 0)
		return 0;
	return err_set(e, -EINVAL, u->field[u->n_fields - 1].name,
		       "A field of the form has at most %d bytes.", FIELD_MAX);
}

static int part_over(struct multipart_user *user, struct err *e)
{
	struct upload *u = CONTAINER_OF(user, struct upload, user);
	struct buf *b;
	json_t *v;

	if (u->in_file)
		return 0;
	b = &u->field[u->n_fields - 1].value;
	v = json_stringn(b->len ? b->data : "", b->len);
	if (!v || memchr(b->len ? b->data : "", '\0', b->len)) {
		json_decref(v);
		return err_set(e, -EINVAL, NULL, "A field of the form is no text.");
	}
	json_decref(v);
	buf_cstr(b);
	return 0;
}

/* ---- an upload ------------------------------------------------------------------------------------ */

int upload_begin(struct files *f, const char *content_type, uint64_t length, struct upload **out,
		 struct err *e)
{
	struct upload *u = xcalloc(1, sizeof(*u));
	int rc;

	u->files = f;
	u->fd = -1;
	u->user = (struct multipart_user){ part, data, part_over };
	rc = multipart_init(&u->multipart, content_type, &u->user, e);
	if (rc == 0 && length > FILE_BYTES_MAX)
		rc = err_set(e, -EFBIG, "file", "A file has at most %llu bytes.", FILE_BYTES_MAX);
	if (rc == 0 && __atomic_load_n(&f->bytes, __ATOMIC_RELAXED) + length > FILES_BYTES_MAX)
		rc = err_set(e, -EFBIG, "file", "The files of the controller have at most %llu bytes.",
			     FILES_BYTES_MAX);
	if (rc == 0 && __atomic_load_n(&f->count, __ATOMIC_RELAXED) >= FILES_MAX)
		rc = err_set(e, -EFBIG, "file", "The controller holds %d files, and no more fit.",
			     FILES_MAX);
	if (rc == 0)
		rc = disk_has_room(u, length, e);
	if (rc == 0) {
		u->fd = openat(f->root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (u->fd < 0)
			rc = err_set(e, -ENOSPC, NULL, "The file cannot be written: %s.",
				     strerror(errno));
	}
	if (rc < 0)
		upload_free(u);
	else
		*out = u;
	return rc;
}

void upload_feed(struct upload *u, const char *data, size_t len)
{
	if (!u->error.code)
		multipart_feed(&u->multipart, data, len, &u->error);
}

const char *upload_field(const struct upload *u, const char *name)
{
	for (size_t i = 0; i < u->n_fields; i++)
		if (strcmp(u->field[i].name, name) == 0)
			return u->field[i].value.len ? u->field[i].value.data : "";
	return NULL;
}

const char *upload_name(const struct upload *u)
{
	return u->name;
}

uint64_t upload_size(const struct upload *u)
{
	return u->size;
}

int upload_check(struct upload *u, struct err *e)
{
	if (!u->error.code)
		multipart_end(&u->multipart, &u->error);
	if (!u->error.code && !u->has_file)
		err_set(&u->error, -EINVAL, "file", "The body has no part of this name.");
	if (u->error.code && e)
		*e = u->error;
	return u->error.code;
}

int upload_text(struct upload *u, size_t max, char **out, size_t *len, struct err *e)
{
	int rc = upload_check(u, e);
	size_t got = 0;

	if (rc < 0)
		return rc;
	if (u->size > max)
		return err_set(e, -EFBIG, "file", "It has more than %zu bytes.", max);
	*out = xmalloc((size_t)u->size + 1);
	while (got < u->size) {
		ssize_t n = pread(u->fd, *out + got, (size_t)u->size - got, (off_t)got);

		if (n <= 0) {
			free(*out);
			return err_set(e, -EIO, "file", "Cannot read what has arrived: %s.", strerror(n ? errno : EIO));
		}
		got += (size_t)n;
	}
	(*out)[got] = '\0';
	*len = got;
	return 0;
}

/* A file in the tree has a name of its own from the first moment, or none. */
static int place(struct upload *u, int at, struct err *e)
{
	CLEANUP_FREE char *source = xasprintf("/proc/self/fd/%d", u->fd);
	char fresh[64];
	struct stat old;
	bool was;

	if (linkat(AT_FDCWD, source, at, u->name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (errno != EEXIST)
		goto bad;
	/* Over one that is there only a rename goes; hidden names are never listed or served. */
	snprintf(fresh, sizeof(fresh), ".upload-%llx", (unsigned long long)mono_ns());
	was = fstatat(at, u->name, &old, AT_SYMLINK_NOFOLLOW) == 0;
	if (was && S_ISDIR(old.st_mode))
		return err_set(e, -EEXIST, "file", "A folder of the name '%s' already exists.", u->name);
	if (linkat(AT_FDCWD, source, at, fresh, AT_SYMLINK_FOLLOW) < 0)
		goto bad;
	if (renameat(at, fresh, at, u->name) < 0) {
		int rc = errno;

		unlinkat(at, fresh, 0);
		errno = rc;
		goto bad;
	}
	if (was)
		gone(u->files, (uint64_t)old.st_size);
	return 0;
bad:
	return err_set(e, -ENOSPC, NULL, "The file cannot be stored: %s.", strerror(errno));
}

int upload_store(struct upload *u, const char *tenant, const char *folder, struct err *e)
{
	CLEANUP_FREE char *path = xasprintf("%s/%s", folder, u->name);
	char last[256];
	int at = walk(u->files, tenant, path, true, last, e), rc;

	if (at < 0)
		return at;
	rc = fsync(u->fd) < 0 ? err_set(e, -ENOSPC, NULL, "The file cannot be written: %s.",
					strerror(errno))
			      : place(u, at, e);
	if (rc == 0) {
		u->stored = true;
		__atomic_add_fetch(&u->files->count, 1, __ATOMIC_RELAXED);
		if (fsync(at) < 0)
			rc = err_set(e, -EIO, NULL, "The folder cannot be written: %s.",
				     strerror(errno));
	}
	close(at);
	return rc;
}

void upload_free(struct upload *u)
{
	if (!u)
		return;
	if (!u->stored)
		__atomic_sub_fetch(&u->files->bytes, u->size, __ATOMIC_RELAXED);
	if (u->fd >= 0)
		close(u->fd);
	for (size_t i = 0; i < u->n_fields; i++)
		buf_fini(&u->field[i].value);
	free(u);
}

#include "controller/store/staged.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

#define NEXT "restore"
#define BEFORE "before-restore"
#define READY "ready" /* what is there may go */
#define GONE "gone"   /* it went: what is here may come */

static int failed(const char *what, const char *dir, const char *name, struct err *e)
{
	return err_set(e, -errno, NULL, "Cannot %s %s/%s: %s.", what, dir, name, strerror(errno));
}

/* Calls F for each file in the folder FD. */
static int each(int fd, int (*f)(void *arg, const char *name), void *arg)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
	const struct dirent *i;
	int rc = 0;

	if (!d)
		return -errno;
	while (rc == 0 && (i = readdir(d)))
		if (strcmp(i->d_name, ".") != 0 && strcmp(i->d_name, "..") != 0)
			rc = f(arg, i->d_name);
	closedir(d);
	return rc;
}

static int unlink_one(void *arg, const char *name)
{
	return unlinkat(*(int *)arg, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* An empty folder NAME, mode 0700. */
static int make_empty(int dir_fd, const char *name)
{
	int fd, rc;

	if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = each(fd, unlink_one, &fd);
	close(fd);
	return rc;
}

int staged_begin(const char *dir, char **path, struct err *e)
{
	CLEANUP_FD int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = dir_fd < 0 ? -errno : make_empty(dir_fd, NEXT);

	if (rc == 0)
		rc = make_empty(dir_fd, BEFORE);
	if (rc < 0)
		return err_set(e, rc, NULL, "Cannot make the folder %s/%s: %s.", dir, NEXT, strerror(-rc));
	*path = xasprintf("%s/%s", dir, NEXT);
	return 0;
}

int staged_ready(const char *dir, struct err *e)
{
	CLEANUP_FREE char *path = xasprintf("%s/%s/%s", dir, NEXT, READY);
	int rc = file_replace(path, "", 0, 0600);

	return rc < 0 ? err_set(e, rc, NULL, "Cannot write %s: %s.", path, strerror(-rc)) : 0;
}

struct move {
	int dir_fd, next_fd, before_fd;
	bool in;
};

static int move_one(void *arg, const char *name)
{
	const struct move *m = arg;
	int rc;

	if (strcmp(name, READY) == 0 || strcmp(name, GONE) == 0)
		return 0;
	rc = m->in ? renameat(m->next_fd, name, m->dir_fd, name) : renameat(m->dir_fd, name, m->before_fd, name);
	return rc < 0 && errno != ENOENT ? -errno : 0;
}

/* Files go out by the names of those that come, and the log of a store with it; then those come. */
static int move_all(struct move *m)
{
	int rc = 0;

	if (faccessat(m->next_fd, READY, F_OK, 0) == 0) {
		rc = each(m->next_fd, move_one, m);
		if (rc == 0)
			rc = move_one(m, "store.db-wal");
		if (rc == 0)
			rc = move_one(m, "store.db-shm");
		if (rc == 0 && (fsync(m->before_fd) < 0 || fsync(m->dir_fd) < 0 ||
				renameat(m->next_fd, READY, m->next_fd, GONE) < 0 || fsync(m->next_fd) < 0))
			rc = -errno;
	}
	if (rc == 0 && faccessat(m->next_fd, GONE, F_OK, 0) == 0) {
		m->in = true;
		rc = each(m->next_fd, move_one, m);
		if (rc == 0 && (fsync(m->dir_fd) < 0 || unlinkat(m->next_fd, GONE, 0) < 0 || fsync(m->next_fd) < 0))
			rc = -errno;
	}
	/* What came is not there any more; what is there was never said to be ready, and holds keys. */
	return rc == 0 ? each(m->next_fd, unlink_one, &m->next_fd) : rc;
}

int staged_enter(int dir_fd, const char *dir, struct err *e)
{
	CLEANUP_FD int next_fd = openat(dir_fd, NEXT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	CLEANUP_FD int before_fd = -1;
	struct move m = { .dir_fd = dir_fd, .next_fd = next_fd };
	int rc;

	if (next_fd < 0)
		return errno == ENOENT ? 0 : failed("open", dir, NEXT, e);
	if (mkdirat(dir_fd, BEFORE, 0700) < 0 && errno != EEXIST)
		return failed("make", dir, BEFORE, e);
	before_fd = openat(dir_fd, BEFORE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (before_fd < 0)
		return failed("open", dir, BEFORE, e);
	m.before_fd = before_fd;
	rc = move_all(&m);
	if (rc < 0)
		return err_set(e, rc, NULL, "Cannot bring in what was restored to %s/%s: %s.", dir, NEXT, strerror(-rc));
	return 0;
}

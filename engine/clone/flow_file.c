#include "engine/clone/flow_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/list.h"
#include "base/log.h"

#define LINE_MAX_BYTES 8192
#define BATCH          65536 /* written at once */

struct file {
	struct list link;
	struct flow_files *files;
	pthread_t thread;
	char *name, *path;
	int ours, theirs;      /* ends of the pair */
	int fd;                /* -1: not open */
	bool failing;          /* said in the log */
	char *batch;
	size_t n, lines;
};

struct flow_files {
	char *folder;
	struct list all;
	atomic_uint_fast64_t lost;
};

/* Open it, or another one where its name leads elsewhere by now. */
static int file_follow(struct file *f)
{
	struct stat named, open_one;

	if (f->fd >= 0 && stat(f->path, &named) == 0 && fstat(f->fd, &open_one) == 0 &&
	    named.st_ino == open_one.st_ino && named.st_dev == open_one.st_dev)
		return 0;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return f->fd < 0 ? -errno : 0;
}

static void file_write(struct file *f)
{
	int rc = f->n ? file_follow(f) : 0;

	for (size_t done = 0; rc == 0 && done < f->n;) {
		ssize_t put = write(f->fd, f->batch + done, f->n - done);

		if (put < 0 && errno != EINTR)
			rc = -errno;
		done += put > 0 ? (size_t)put : 0;
	}
	if (rc < 0) {
		atomic_fetch_add(&f->files->lost, f->lines);
		if (!f->failing)
			log_error("flow_log_not_written path=%s reason=\"%s\"", f->path, strerror(-rc));
	}
	f->failing = rc < 0;
	f->n = f->lines = 0;
}

static void *file_run(void *arg)
{
	struct file *f = arg;

	for (;;) {
		/* A batch is what is there. */
		ssize_t got = recv(f->ours, f->batch + f->n, LINE_MAX_BYTES, f->n ? MSG_DONTWAIT : 0);

		if (got > 0) {
			f->n += (size_t)got;
			f->batch[f->n++] = '\n';
			f->lines++;
			if (f->n + LINE_MAX_BYTES + 1 <= BATCH)
				continue;
		}
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 && !f->n)
			break; /* nobody can send any more */
		file_write(f);
	}
	return NULL;
}

struct flow_files *flow_files_new(const char *folder)
{
	struct flow_files *f = xcalloc(1, sizeof(*f));

	f->folder = xstrdup(folder);
	list_init(&f->all);
	return f;
}

static int file_start(struct file *f)
{
	int pair[2];
	sigset_t all, old;

	if ((mkdir(f->files->folder, 0700) < 0 && errno != EEXIST) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	f->ours = pair[0];
	f->theirs = pair[1];
	f->batch = xmalloc(BATCH);
	/* Signals are the business of whoever made us. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	must(pthread_create(&f->thread, NULL, file_run, f) == 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return 0;
}

static void file_free(struct file *f)
{
	free(f->batch);
	free(f->name);
	free(f->path);
	free(f);
}

int flow_files_open(struct flow_files *files, const char *name, struct err *e)
{
	struct file *f;
	int rc;

	LIST_FOREACH(l, &files->all) {
		f = LIST_ENTRY(l, struct file, link);
		if (strcmp(f->name, name) == 0)
			return f->theirs;
	}
	/* The controller checked it; it is a path here. */
	if (!*name || *name == '.' || strchr(name, '/'))
		return err_set(e, -EINVAL, "flow_log.file_name", "%.64s is not the name of a file.", name);
	f = xcalloc(1, sizeof(*f));
	f->files = files;
	f->name = xstrdup(name);
	f->path = xasprintf("%s/%s", files->folder, name);
	f->fd = -1;
	rc = file_start(f);
	if (rc < 0) {
		err_set(e, rc, "flow_log.file_name", "%s cannot be opened: %s.", f->path, strerror(-rc));
		file_free(f);
		return rc;
	}
	list_init(&f->link);
	list_insert(&files->all, &f->link);
	return f->theirs;
}

uint64_t flow_files_lost(const struct flow_files *f)
{
	return atomic_load(&((struct flow_files *)f)->lost);
}

void flow_files_free(struct flow_files *files)
{
	if (!files)
		return;
	LIST_FOREACH(l, &files->all) {
		struct file *f = LIST_ENTRY(l, struct file, link);

		close(f->theirs);
		pthread_join(f->thread, NULL);
		close(f->ours);
		if (f->fd >= 0)
			close(f->fd);
		list_remove(&f->link);
		file_free(f);
	}
	free(files->folder);
	free(files);
}

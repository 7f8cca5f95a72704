/*
 * spanwire-controller - the control plane: REST above, engines below, the intent in between.
 *
 * One event loop is the core: store, placement and engine links live in it. The API has a thread of its own, slow
 * work a small pool; both reach the core by its inbox. main() opens the parts in order, turns the loop, and closes them in the
 * reverse order.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "base/settings.h"
#include "controller/backup/backups.h"
#include "controller/ca.h"
#include "controller/capture/captures.h"
#include "controller/capture/triggers.h"
#include "controller/controller.h"
#include "controller/expiry.h"
#include "controller/ipam.h"
#include "controller/link/fleet.h"
#include "controller/listen.h"
#include "controller/metering.h"
#include "controller/pool.h"
#include "controller/rest/rest.h"
#include "controller/store/store.h"
#include "net/notify.h"

enum { POOL_THREADS = 2, POOL_QUEUE = 256 };

const char *argp_program_version = "spanwire-controller " SPANWIRE_VERSION;

struct options {
	const char *data, *listen, *engine_listen, *password_file;
};

static const struct argp_option argp_options[] = {
	{ "config", 'f', "FILE", 0, "Options from a file of `name = value` lines; those given here win", 0 },
	{ "data", 'd', "DIR", 0, "Folder of everything that is kept (/var/lib/spanwire)", 0 },
	{ "listen", 'l', "ADDR:PORT", 0, "Where the REST API is (0.0.0.0:9443); IPv6 in brackets", 0 },
	{ "engine-listen", 'e', "ADDR:PORT", 0, "Where engines connect (0.0.0.0:9444)", 0 },
	{ "admin-password-file", 'p', "FILE", 0,
	  "First start: the first line is the password of admin. Without it one is made up and written to "
	  "DIR/initial-admin-password", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'd':
		o->data = arg;
		return 0;
	case 'l':
		o->listen = arg;
		return 0;
	case 'e':
		o->engine_listen = arg;
		return 0;
	case 'p':
		o->password_file = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = { argp_options, parse_option, NULL,
				  "The control plane of Spanwire: REST API, store, placement, engine sessions.", NULL, NULL,
				  NULL };

/* ---- the first start ---------------------------------------------------------------------- */

static int given_password(const char *file, char **password, struct err *e)
{
	size_t len;
	int rc = file_read(file, 4096, password, &len);

	if (rc < 0)
		return err_set(e, rc, NULL, "Cannot read %s: %s.", file, strerror(-rc));
	(*password)[strcspn(*password, "\r\n")] = '\0';
	if (strlen(*password) < 8)
		return err_set(e, -EINVAL, NULL, "The password in %s has less than 8 characters.", file);
	return 0;
}

/* Written before the user is stored: a crash in between leaves a file that is written again, never a user without one. */
static int made_up_password(const char *dir, char **password, struct err *e)
{
	CLEANUP_FREE char *path = xasprintf("%s/initial-admin-password", dir);
	CLEANUP_FREE char *line = NULL;
	unsigned char raw[12];
	char text[2 * sizeof(raw) + 1];
	int rc;

	random_bytes(raw, sizeof(raw));
	hex_encode(text, raw, sizeof(raw));
	*password = xstrdup(text);
	line = xasprintf("%s\n", text);
	rc = file_replace(path, line, strlen(line), 0600);
	return rc < 0 ? err_set(e, rc, NULL, "Cannot write %s: %s.", path, strerror(-rc)) : 0;
}

static int first_start(struct controller *c, const struct options *o, struct err *e)
{
	CLEANUP_FREE char *password = NULL;
	int rc;

	if (system_objects_exist(c->store))
		return system_objects_follow(c->store, e);
	rc = o->password_file ? given_password(o->password_file, &password, e)
			      : made_up_password(c->data, &password, e);
	if (rc == 0)
		rc = system_objects_make(c->store, password, e);
	if (password)
		explicit_bzero(password, strlen(password));
	return rc;
}

static int data_folder(const char *dir, struct err *e)
{
	if (mkdir(dir, 0700) == 0 || errno == EEXIST)
		return 0;
	return err_set(e, -errno, NULL, "Cannot make the data folder %s: %s.", dir, strerror(errno));
}

/* ---- life ------------------------------------------------------------------------------------ */

struct stopper {
	struct watch watch;
	struct loop *loop;
};

static void signalled(struct watch *w, uint32_t events)
{
	struct stopper *s = CONTAINER_OF(w, struct stopper, watch);
	struct signalfd_siginfo info;

	(void)events;
	if (read(w->fd, &info, sizeof(info)) == sizeof(info))
		log_info("stopping signal=%u", info.ssi_signo);
	loop_stop(s->loop);
}

enum { RESTART_MS = 200 };

static void restart_now(struct timer *t)
{
	loop_stop(CONTAINER_OF(t, struct controller, restart)->loop);
}

void controller_restart(struct controller *c)
{
	if (c->restarts)
		return;
	c->restarts = true;
	/* The answer to who asked for it goes out before. */
	timer_in(c->loop, &c->restart, RESTART_MS, restart_now);
}

/* Before any thread is made: they all inherit the mask, and the signals come to the loop alone. */
static int signal_fd(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Thousands of clients and engines are as many descriptors; the usual soft limit is 1,024. */
static void raise_limits(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static int run(struct controller *c, const struct options *o, struct err *e)
{
	struct listen_at rest_at, engine_at;
	struct stopper stop = { .loop = c->loop };
	CLEANUP_FD int sig = signal_fd();
	struct fleet *fleet = NULL;
	struct backups *backups = NULL;
	struct metering *metering;
	int fd, engine_fd, rc;

	must(sig >= 0);
	/* What can be refused without touching anything first. */
	rc = listen_parse(o->engine_listen, &engine_at, e);
	if (rc == 0)
		rc = data_folder(c->data, e);
	if (rc < 0)
		return rc;
	fd = listen_open(o->listen, &rest_at, e);
	if (fd < 0)
		return fd;
	engine_fd = listen_open(o->engine_listen, &engine_at, e);
	if (engine_fd < 0) {
		close(fd);
		return engine_fd;
	}
	rc = store_open(c->data, &c->store, e);
	if (rc == 0)
		c->ipam = ipam_open(c->store);
	if (rc == 0)
		rc = ca_open(c->data, rest_at.host, &c->ca, e);
	if (rc == 0)
		rc = first_start(c, o, e);
	if (rc < 0) {
		close(fd);
		close(engine_fd);
		return rc;
	}
	must(inbox_init(&c->inbox, c->loop) == 0);
	metering = metering_open(c);
	c->pool = pool_new(&c->inbox, POOL_THREADS, POOL_QUEUE);
	rc = rest_start(c, fd, strchr(rest_at.host, ':') != NULL, &c->rest, e);
	if (rc < 0)
		close(engine_fd);
	else
		rc = fleet_open(c, engine_fd, &fleet, e);
	if (rc < 0 && c->rest)
		rest_stop(c->rest);
	if (rc == 0) {
		struct expiry *expiry = expiry_open(c);

		c->captures = captures_open(c);
		c->triggers = triggers_open(c);

		backups = backups_start(c);
		must(watch_start(c->loop, &stop.watch, sig, EPOLLIN, signalled) == 0);
		printf("spanwire-controller " SPANWIRE_VERSION " ready: REST https://%s engines %s\n", rest_at.text,
		       engine_at.text);
		fflush(stdout);
		notify("READY=1");
		rc = loop_run(c->loop);
		if (!c->restarts)
			notify("STOPPING=1");
		watch_stop(c->loop, &stop.watch);
		captures_quiesce(c->captures);
		fleet_quiesce(fleet);
		rest_stop(c->rest);
		expiry_close(expiry);
		triggers_close(c->triggers);
		c->triggers = NULL;
		captures_close(c->captures);
		c->captures = NULL;
		backups_stop(backups);
	}
	pool_free(c->pool);
	inbox_fini(&c->inbox);
	fleet_close(fleet); /* the last of the inbox may still have asked it */
	metering_close(metering);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o = { "/var/lib/spanwire", "0.0.0.0:9443", "0.0.0.0:9444", NULL };
	struct controller c = { .up_since_us = wall_us() };
	struct err e = { 0 };
	int rc;

	if (settings_expand(argp_options, &argc, &argv, &e) < 0) {
		fprintf(stderr, "spanwire-controller: %s\n", err_line(&e));
		return 1;
	}
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	umask(077);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* a core would hold the CA's key */
	raise_limits();
	log_init("controller");
	c.data = o.data;
	c.loop = loop_new();
	rc = run(&c, &o, &e);
	if (rc < 0)
		fprintf(stderr, "spanwire-controller: %s\n", e.code ? err_line(&e) : strerror(-rc));
	ca_close(c.ca);
	ipam_close(c.ipam);
	if (c.store)
		store_close(c.store);
	timer_stop(c.loop, &c.restart);
	loop_free(c.loop);
	if (rc == 0 && c.restarts) {
		execv("/proc/self/exe", argv);
		fprintf(stderr, "spanwire-controller: Cannot start anew: %s.\n", strerror(errno));
		return 1;
	}
	return rc < 0 ? 1 : 0;
}

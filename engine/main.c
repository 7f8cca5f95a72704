/*
 * spanwire-engine: the warden, or, with --proxy (which only the warden says), the proxy.
 */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "base/settings.h"
#include "engine/process.h"
#include "engine/proxy.h"
#include "engine/capture/recorder.h"
#include "engine/records.h"
#include "engine/warden.h"
#include "net/notify.h"

#define STATE_DIR  "/var/lib/spanwire-engine"
#define FILES_MAX  1048576 /* a connection takes two, a listening port one per worker */

const char *argp_program_version = "spanwire-engine " SPANWIRE_VERSION;

enum { OPT_CONFIG = 'f', OPT_CONTROLLER = 'c', OPT_TOKEN = 't', OPT_NAME = 'n', OPT_STATE = 's', OPT_WORKERS = 'w', OPT_LOG = 'l', OPT_RECORDS = 'r', OPT_RECORDER = 'R' };

static const struct argp_option options[] = {
	{ "config", OPT_CONFIG, "FILE", 0, "Options from a file of `name = value` lines; those given here win", 0 },
	{ "controller", OPT_CONTROLLER, "https://ADDR:PORT", 0, "Controller: address or name, and its engine port (9444)", 0 },
	{ "token-file", OPT_TOKEN, "FILE", 0, "Enrolment token; only the first time", 0 },
	{ "name", OPT_NAME, "NAME", 0, "Name of this engine, unique in its controller (the host's name)", 0 },
	{ "state", OPT_STATE, "DIR", 0, "Where key, certificate and last configuration are kept (/var/lib/spanwire-engine)", 0 },
	{ "workers", OPT_WORKERS, "N", 0, "Threads that carry traffic (default: one per processor)", 0 },
	{ "records-mb", OPT_RECORDS, "MB", 0, "Memory for records of requests and connections (default: 16; 0: none are kept)", 0 },
	{ "recorder-mb", OPT_RECORDER, "MB", 0, "Memory for the packets of the last while (default: 64; 0: none are kept)", 0 },
	{ "log-level", OPT_LOG, "LEVEL", 0, "error, warn, info (default) or debug", 0 },
	{ 0 },
};

static int level_of(const char *word)
{
	static const struct {
		const char *word;
		enum log_level level;
	} levels[] = { { "error", LOG_LEVEL_ERROR }, { "warn", LOG_LEVEL_WARN }, { "info", LOG_LEVEL_INFO },
		       { "debug", LOG_LEVEL_DEBUG } };

	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (strcmp(levels[i].word, word) == 0)
			return (int)levels[i].level;
	return -EINVAL;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct warden_config *c = state->input;
	char *end;

	switch (key) {
	case OPT_CONTROLLER:
		c->link.controller = arg;
		break;
	case OPT_TOKEN:
		c->link.token_file = arg;
		break;
	case OPT_NAME:
		c->link.name = arg;
		break;
	case OPT_STATE:
		c->link.state_dir = arg;
		break;
	case OPT_WORKERS:
		c->workers = (unsigned)strtoul(arg, &end, 10);
		if (*end || c->workers < 1 || c->workers > 256)
			argp_error(state, "--workers takes a number from 1 to 256");
		break;
	case OPT_RECORDS:
		c->records_mb = (unsigned)strtoul(arg, &end, 10);
		if (*end || !*arg || c->records_mb > 65536)
			argp_error(state, "--records-mb takes a number from 0 to 65536");
		break;
	case OPT_RECORDER:
		c->recorder_mb = (unsigned)strtoul(arg, &end, 10);
		if (*end || !*arg || c->recorder_mb > 4096)
			argp_error(state, "--recorder-mb takes a number from 0 to 4096");
		break;
	case OPT_LOG:
		c->log_level = level_of(arg);
		if (c->log_level < 0)
			argp_error(state, "--log-level takes error, warn, info or debug");
		break;
	case ARGP_KEY_END:
		if (!c->link.controller)
			argp_error(state, "--controller is needed: where is it?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = { options, parse, NULL,
				  "The engine of Spanwire: serves virtual services as its controller says.",
				  NULL, NULL, NULL };

static unsigned processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static void raise_files(void)
{
	struct rlimit r = { FILES_MAX, FILES_MAX };

	if (setrlimit(RLIMIT_NOFILE, &r) == 0)
		return;
	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	log_warn("few_descriptors limit=%llu", (unsigned long long)r.rlim_max);
}

struct stop {
	struct watch watch;
	struct loop *loop;
};

static void on_signal(struct watch *w, uint32_t events)
{
	struct stop *s = CONTAINER_OF(w, struct stop, watch);
	struct signalfd_siginfo si;

	(void)events;
	if (read(w->fd, &si, sizeof(si)) == sizeof(si)) {
		log_info("stopping signal=%u", si.ssi_signo);
		loop_stop(s->loop);
	}
}

static int watch_signals(struct stop *s)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : watch_start(s->loop, &s->watch, fd, EPOLLIN, on_signal);
}

int main(int argc, char **argv)
{
	static char host[HOST_NAME_MAX + 1];
	struct warden_config config = { .log_level = LOG_LEVEL_INFO, .records_mb = RECORDS_MB, .recorder_mb = RECORDER_MB,
					.link = { .name = host, .state_dir = STATE_DIR } };
	struct warden *warden;
	struct stop stop = { 0 };
	struct err e = { 0 };
	int rc;

	if (argc == 2 && strcmp(argv[1], "--proxy") == 0)
		return proxy_main(PROCESS_CHANNEL_FD, PROCESS_PULSE_FD, getppid());
	gethostname(host, sizeof(host) - 1);
	if (settings_expand(options, &argc, &argv, &e) < 0) {
		fprintf(stderr, "spanwire-engine: %s\n", err_line(&e));
		return 1;
	}
	argp_parse(&argp, argc, argv, 0, NULL, &config);
	log_init("warden");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* a core would hold the engine's key */
	log_set_level((enum log_level)config.log_level);
	raise_files();
	config.link.cores = processors();
	config.link.memory_mb = (unsigned)(sysconf(_SC_PHYS_PAGES) / 1024 * sysconf(_SC_PAGESIZE) / 1024);
	if (!config.workers)
		config.workers = config.link.cores;
	stop.loop = loop_new();
	must(watch_signals(&stop) == 0);
	if (warden_new(&config, stop.loop, &warden, &e) < 0) {
		log_error("cannot_start reason=\"%s\"", err_line(&e));
		return 1;
	}
	warden_start(warden);
	notify("READY=1");
	rc = loop_run(stop.loop);
	notify("STOPPING=1");
	warden_free(warden);
	loop_turn(stop.loop, 0); /* what it buried */
	watch_stop(stop.loop, &stop.watch);
	close(stop.watch.fd);
	loop_free(stop.loop);
	return rc < 0;
}

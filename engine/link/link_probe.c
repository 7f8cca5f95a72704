/*
 * link-probe - the engine's side of the link, with nothing behind it: for tests.
 *
 *	link-probe CONTROLLER TOKEN-FILE NAME STATE-DIR NET
 *
 * Says on standard output what it hears ("put KIND UUID", "removed ...",
 * "committed REVISION DIGESTED-OBJECTS", "up", "down"), says that every commit
 * runs and every service is up, and ends when standard input does.
 */
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/link/link.h"

static struct link *line;
static struct loop *loop;

static void put(struct link_user *u, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	(void)u;
	(void)object;
	printf("put %s %s %llu\n", kind, uuid, (unsigned long long)revision);
	if (strcmp(kind, "assignment") == 0)
		link_service(line, uuid, revision, "OPER_UP", "", NULL);
}

static void removed(struct link_user *u, const char *kind, const char *uuid)
{
	(void)u;
	printf("removed %s %s\n", kind, uuid);
}

static int count(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	(void)kind;
	(void)uuid;
	(void)revision;
	(void)object;
	++*(int *)arg;
	return 0;
}

static void committed(struct link_user *u, uint64_t revision)
{
	int n = 0;

	(void)u;
	link_each(line, count, &n);
	printf("committed %llu %d\n", (unsigned long long)revision, n);
	link_applied(line, revision);
}

static void connected(struct link_user *u, bool up)
{
	(void)u;
	printf(up ? "up\n" : "down\n");
}

static void input(struct watch *w, uint32_t events)
{
	char text[256];

	(void)events;
	if (read(w->fd, text, sizeof(text)) <= 0)
		loop_stop(loop);
}

int main(int argc, char **argv)
{
	struct link_user user = { put, removed, committed, connected };
	struct watch in = { 0 };
	struct err e = { 0 };

	if (argc != 6)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_init("link-probe");
	loop = loop_new();
	if (link_new(&(struct link_config){ .controller = argv[1], .token_file = argv[2], .name = argv[3],
					    .state_dir = argv[4], .cores = 1, .memory_mb = 64 },
		     loop, &user, &line, &e) < 0) {
		printf("refused %s\n", err_line(&e));
		return 1;
	}
	must(watch_start(loop, &in, 0, EPOLLIN, input) == 0);
	link_start(line, json_pack("[{s:s, s:s, s:i, s:b, s:[s]}]", "name", "eth1", "mac", "02:00:00:00:00:99", "mtu", 1500,
				   "up", 1, "addresses", argv[5]));
	loop_run(loop);
	watch_stop(loop, &in);
	link_free(line, "the probe ends");
	loop_free(loop);
	return 0;
}

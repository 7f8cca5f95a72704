#include "net/lookup.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/base.h"

struct lookup {
	struct watch watch;
	struct loop *loop;
	char *host, *port;
	void (*done)(void *arg, const struct lookup_answer *answer);
	void *arg;
	struct lookup_answer answer; /* the thread's until it is ready */
	atomic_bool ready;
	int wake_fd;
	atomic_int holders; /* the loop and the thread: who lets go last frees */
};

static void let_go(struct lookup *k)
{
	if (atomic_fetch_sub(&k->holders, 1) > 1)
		return;
	close(k->wake_fd);
	free(k->host);
	free(k->port);
	free(k);
}

static void *ask(void *arg)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	struct lookup *k = arg;
	struct lookup_answer *a = &k->answer;
	uint64_t one = 1;
	int rc = getaddrinfo(k->host, k->port, &hints, &found);

	if (rc)
		a->error = gai_strerror(rc); /* static text */
	for (struct addrinfo *i = found; i && a->n < LOOKUP_MAX; i = i->ai_next) {
		memcpy(&a->address[a->n], i->ai_addr, i->ai_addrlen);
		a->len[a->n++] = i->ai_addrlen;
	}
	if (found)
		freeaddrinfo(found);
	atomic_store(&k->ready, true);
	must(write(k->wake_fd, &one, sizeof(one)) == sizeof(one));
	let_go(k);
	return NULL;
}

static void answered(struct watch *w, uint32_t events)
{
	struct lookup *k = CONTAINER_OF(w, struct lookup, watch);

	(void)events;
	must(atomic_load(&k->ready));
	watch_stop(k->loop, &k->watch);
	k->done(k->arg, &k->answer);
	let_go(k);
}

struct lookup *lookup_start(struct loop *l, const char *host, const char *port,
			    void (*done)(void *arg, const struct lookup_answer *answer), void *arg)
{
	struct lookup *k = xcalloc(1, sizeof(*k));
	pthread_t thread;

	k->loop = l;
	k->host = xstrdup(host);
	k->port = xstrdup(port);
	k->done = done;
	k->arg = arg;
	k->holders = 1;
	k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (k->wake_fd >= 0 && watch_start(l, &k->watch, k->wake_fd, EPOLLIN, answered) == 0) {
		k->holders = 2;
		if (pthread_create(&thread, NULL, ask, k) == 0) {
			pthread_detach(thread);
			return k;
		}
		k->holders = 1;
		watch_stop(l, &k->watch);
	}
	let_go(k);
	return NULL;
}

void lookup_cancel(struct lookup *k)
{
	if (!k)
		return;
	watch_stop(k->loop, &k->watch);
	let_go(k);
}

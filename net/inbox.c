#include "net/inbox.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/base.h"

/* So long may messages keep the loop from its timers and its other watchers. */
enum { TURN_MS = 5 };

static void take_all(struct inbox *in)
{
	pthread_mutex_lock(&in->lock);
	in->taken = in->first;
	in->first = NULL;
	in->last = &in->first;
	pthread_mutex_unlock(&in->lock);
}

/* Delivers, at least one, until it is LATE; true when nothing is left. */
static bool deliver_until(struct inbox *in, uint64_t late)
{
	do {
		struct message *m;

		if (!in->taken)
			take_all(in);
		m = in->taken;
		if (!m)
			return true;
		in->taken = m->next; /* deliver() may free m */
		m->deliver(m);
	} while (mono_ns() < late);
	return false;
}

static void wake(struct inbox *in)
{
	uint64_t one = 1;

	if (write(in->wake_fd, &one, sizeof(one)) < 0)
		must(errno == EAGAIN); /* the counter is full: the owner is awake in any case */
}

static void inbox_ready(struct watch *w, uint32_t events)
{
	struct inbox *in = CONTAINER_OF(w, struct inbox, watch);
	uint64_t n;

	(void)events;
	/* Cleared before the list is taken: a post in between wakes us again, for nothing at worst. */
	if (read(in->wake_fd, &n, sizeof(n)) < 0)
		must(errno == EAGAIN || errno == EINTR);
	if (!deliver_until(in, mono_ns() + TURN_MS * NS_PER_MS))
		wake(in);
}

int inbox_init(struct inbox *in, struct loop *l)
{
	*in = (struct inbox){ .loop = l };
	in->last = &in->first;
	in->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (in->wake_fd < 0)
		return -errno;
	pthread_mutex_init(&in->lock, NULL);
	return watch_start(l, &in->watch, in->wake_fd, EPOLLIN, inbox_ready);
}

void inbox_fini(struct inbox *in)
{
	deliver_until(in, UINT64_MAX);
	watch_stop(in->loop, &in->watch);
	close(in->wake_fd);
	pthread_mutex_destroy(&in->lock);
}

void inbox_post(struct inbox *in, struct message *m, void (*deliver)(struct message *m))
{
	bool first;

	m->deliver = deliver;
	m->next = NULL;
	pthread_mutex_lock(&in->lock);
	first = in->first == NULL;
	*in->last = m;
	in->last = &m->next;
	pthread_mutex_unlock(&in->lock);
	if (first)
		wake(in);
}

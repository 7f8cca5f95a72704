#include "net/inbox.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/base.h"

static void deliver_all(struct inbox *in)
{
	struct message *m;

	pthread_mutex_lock(&in->lock);
	m = in->first;
	in->first = NULL;
	in->last = &in->first;
	pthread_mutex_unlock(&in->lock);
	while (m) {
		struct message *next = m->next; /* deliver() may free m */

		m->deliver(m);
		m = next;
	}
}

static void inbox_ready(struct watch *w, uint32_t events)
{
	struct inbox *in = CONTAINER_OF(w, struct inbox, watch);
	uint64_t n;

	(void)events;
	/* Cleared before the list is taken: a post in between wakes us again, for nothing at worst. */
	if (read(in->wake_fd, &n, sizeof(n)) < 0)
		must(errno == EAGAIN || errno == EINTR);
	deliver_all(in);
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
	deliver_all(in);
	watch_stop(in->loop, &in->watch);
	close(in->wake_fd);
	pthread_mutex_destroy(&in->lock);
}

void inbox_post(struct inbox *in, struct message *m, void (*deliver)(struct message *m))
{
	uint64_t one = 1;
	bool wake;

	m->deliver = deliver;
	m->next = NULL;
	pthread_mutex_lock(&in->lock);
	wake = in->first == NULL;
	*in->last = m;
	in->last = &m->next;
	pthread_mutex_unlock(&in->lock);
	if (wake && write(in->wake_fd, &one, sizeof(one)) < 0)
		must(errno == EAGAIN); /* the counter is full: the owner is awake in any case */
}

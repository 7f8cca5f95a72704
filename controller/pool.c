#include "controller/pool.h"

#include <errno.h>

#include "base/base.h"

struct pool {
	struct inbox *home;
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct job *first, **last;
	unsigned queued, queue_max;
	bool stopping;
	unsigned n_threads;
	pthread_t thread[];
};

static void deliver(struct message *m)
{
	struct job *j = CONTAINER_OF(m, struct job, message);

	j->done(j);
}

static void *run(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct job *j = p->first;

		if (!j && p->stopping)
			break;
		if (!j) {
			pthread_cond_wait(&p->filled, &p->lock);
			continue;
		}
		p->first = j->next;
		if (!p->first)
			p->last = &p->first;
		p->queued--;
		pthread_mutex_unlock(&p->lock);
		j->work(j);
		inbox_post(p->home, &j->message, deliver);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct pool *pool_new(struct inbox *home, unsigned threads, unsigned queue_max)
{
	struct pool *p = xcalloc(1, sizeof(*p) + threads * sizeof(p->thread[0]));

	p->home = home;
	p->last = &p->first;
	p->queue_max = queue_max;
	must(pthread_mutex_init(&p->lock, NULL) == 0);
	must(pthread_cond_init(&p->filled, NULL) == 0);
	for (; p->n_threads < threads; p->n_threads++)
		must(pthread_create(&p->thread[p->n_threads], NULL, run, p) == 0);
	return p;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->filled);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->filled);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int pool_post(struct pool *p, struct job *j)
{
	int rc = -EBUSY;

	j->next = NULL;
	pthread_mutex_lock(&p->lock);
	if (p->queued < p->queue_max) {
		*p->last = j;
		p->last = &j->next;
		p->queued++;
		pthread_cond_signal(&p->filled);
		rc = 0;
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

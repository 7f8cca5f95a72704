#include "engine/link/keeper.h"

#include <pthread.h>
#include <signal.h>

#include "base/base.h"
#include "base/log.h"

#define RETRY_MS 2000

struct keeper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t news;
	char *path;
	char *text; /* not written yet; NULL: nothing */
	bool ends;
};

/* Until there is news, or for MS. */
static void wait_ms(struct keeper *k, unsigned ms)
{
	uint64_t end = mono_ns() + ms * NS_PER_MS;
	struct timespec at = { .tv_sec = (time_t)(end / NS_PER_S), .tv_nsec = (long)(end % NS_PER_S) };

	pthread_cond_clockwait(&k->news, &k->lock, CLOCK_MONOTONIC, &at);
}

static void *keep(void *arg)
{
	struct keeper *k = arg;

	pthread_mutex_lock(&k->lock);
	for (;;) {
		CLEANUP_FREE char *text = k->text;

		k->text = NULL;
		if (!text) {
			if (k->ends)
				break;
			pthread_cond_wait(&k->news, &k->lock);
			continue;
		}
		pthread_mutex_unlock(&k->lock);
		int rc = file_replace(k->path, text, strlen(text), 0600);

		if (rc < 0)
			log_error("state_not_saved path=%s error=\"%s\"", k->path, strerror(-rc));
		pthread_mutex_lock(&k->lock);
		if (rc < 0 && !k->text && !k->ends) {
			k->text = text;
			text = NULL;
			wait_ms(k, RETRY_MS);
		}
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

struct keeper *keeper_new(const char *path)
{
	struct keeper *k = xcalloc(1, sizeof(*k));
	sigset_t all, old;

	k->path = xstrdup(path);
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->news, NULL);
	/* Signals are the business of whoever made us. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	must(pthread_create(&k->thread, NULL, keep, k) == 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return k;
}

void keeper_put(struct keeper *k, char *text)
{
	pthread_mutex_lock(&k->lock);
	free(k->text);
	k->text = text;
	pthread_cond_signal(&k->news);
	pthread_mutex_unlock(&k->lock);
}

void keeper_free(struct keeper *k)
{
	if (!k)
		return;
	pthread_mutex_lock(&k->lock);
	k->ends = true;
	pthread_cond_signal(&k->news);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->news);
	free(k->path);
	free(k);
}

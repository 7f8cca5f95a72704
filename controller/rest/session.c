#include "controller/rest/session.h"

#include "base/base.h"

enum { BUCKETS = 4096 };

/* The ids are random: a few of their digits are as good as any hash. */
static unsigned bucket_of(const char *id)
{
	char head[9] = { 0 };

	memcpy(head, id, strnlen(id, 8));
	return (unsigned)strtoul(head, NULL, 16) % BUCKETS;
}

void sessions_init(struct sessions *s, unsigned max)
{
	memset(s, 0, sizeof(*s));
	s->bucket = xcalloc(BUCKETS, sizeof(*s->bucket));
	s->max = max;
	list_init(&s->by_use);
}

void sessions_fini(struct sessions *s)
{
	while (!list_empty(&s->by_use))
		session_drop(s, LIST_ENTRY(s->by_use.next, struct session, by_use));
	free(s->bucket);
}

static void random_id(char out[static SESSION_ID_LEN + 1])
{
	unsigned char raw[SESSION_ID_LEN / 2];

	random_bytes(raw, sizeof(raw));
	hex_encode(out, raw, sizeof(raw));
}

/* Expired sessions are kept as long again as they might have been idle. */
static void forget_old(struct sessions *s, uint64_t now_ns)
{
	while (s->idle_ns && !list_empty(&s->by_use)) {
		struct session *x = LIST_ENTRY(s->by_use.next, struct session, by_use);

		if (now_ns - x->used_ns < 2 * s->idle_ns)
			return;
		session_drop(s, x);
	}
}

struct session *session_new(struct sessions *s, const char *user, uint64_t now_ns)
{
	struct session *x = xcalloc(1, sizeof(*x));
	struct session **b;

	forget_old(s, now_ns);
	if (s->count >= s->max)
		session_drop(s, LIST_ENTRY(s->by_use.next, struct session, by_use));
	random_id(x->id);
	random_id(x->csrf);
	snprintf(x->user, sizeof(x->user), "%s", user);
	x->made_ns = x->used_ns = now_ns;
	list_init(&x->by_use);
	list_insert(&s->by_use, &x->by_use);
	b = &s->bucket[bucket_of(x->id)];
	x->next = *b;
	*b = x;
	s->count++;
	return x;
}

struct session *session_find(struct sessions *s, const char *id, uint64_t now_ns)
{
	if (strlen(id) != SESSION_ID_LEN)
		return NULL;
	for (struct session *x = s->bucket[bucket_of(id)]; x; x = x->next) {
		if (!secret_equal(x->id, id, SESSION_ID_LEN))
			continue;
		if ((s->idle_ns && now_ns - x->used_ns >= s->idle_ns) ||
		    (s->hard_ns && now_ns - x->made_ns >= s->hard_ns))
			x->expired = true;
		if (!x->expired) {
			x->used_ns = now_ns;
			list_remove(&x->by_use);
			list_insert(&s->by_use, &x->by_use);
		}
		return x;
	}
	return NULL;
}

void session_drop(struct sessions *s, struct session *x)
{
	struct session **p = &s->bucket[bucket_of(x->id)];

	while (*p != x)
		p = &(*p)->next;
	*p = x->next;
	list_remove(&x->by_use);
	s->count--;
	explicit_bzero(x, sizeof(*x));
	free(x);
}

void session_drop_user(struct sessions *s, const char *user, const struct session *keep)
{
	LIST_FOREACH(l, &s->by_use) {
		struct session *x = LIST_ENTRY(l, struct session, by_use);

		if (x != keep && strcmp(x->user, user) == 0)
			session_drop(s, x);
	}
}

void session_limit(struct sessions *s, const char *user, unsigned max)
{
	unsigned n = 0;

	LIST_FOREACH(l, &s->by_use) {
		struct session *x = LIST_ENTRY(l, struct session, by_use);

		n += !x->expired && strcmp(x->user, user) == 0;
	}
	LIST_FOREACH(l, &s->by_use) {
		struct session *x = LIST_ENTRY(l, struct session, by_use);

		if (n <= max)
			return;
		if (x->expired || strcmp(x->user, user) != 0)
			continue;
		session_drop(s, x);
		n--;
	}
}

#include "controller/rest/lockout.h"

#include "base/base.h"

struct failure {
	struct table_link by_name;
	struct list by_use;
	uint64_t count, last_ns;
	uint64_t until_ns; /* locked; 0: not */
	char name[];
};

void lockout_init(struct lockout *l)
{
	*l = (struct lockout){ .by_name = TABLE_INIT };
	list_init(&l->by_use);
	/* Strangers choose the names: they shall not choose where they go. */
	random_bytes(&l->seed, sizeof(l->seed));
}

static void drop(struct lockout *l, struct failure *f)
{
	table_take(&l->by_name, &f->by_name);
	list_remove(&f->by_use);
	l->n--;
	free(f);
}

void lockout_fini(struct lockout *l)
{
	while (!list_empty(&l->by_use))
		drop(l, LIST_ENTRY(l->by_use.next, struct failure, by_use));
	table_fini(&l->by_name);
}

static struct failure *find(struct lockout *l, const char *name)
{
	for (struct table_link *x = table_first(&l->by_name, table_hash(l->seed, name)); x;
	     x = table_next(x)) {
		struct failure *f = CONTAINER_OF(x, struct failure, by_name);

		if (strcmp(f->name, name) == 0)
			return f;
	}
	return NULL;
}

bool lockout_holds(struct lockout *l, const char *name, uint64_t now_ns)
{
	struct failure *f = find(l, name);

	if (!f || !f->until_ns)
		return false;
	if (now_ns < f->until_ns)
		return true;
	drop(l, f);
	return false;
}

bool lockout_failed(struct lockout *l, const char *name, const struct lockout_limits *limits,
		    uint64_t now_ns)
{
	struct failure *f = find(l, name);
	size_t size = strlen(name) + 1;

	if (!limits->failures)
		return false;
	if (!f) {
		if (l->n == LOCKOUT_NAMES)
			drop(l, LIST_ENTRY(l->by_use.next, struct failure, by_use));
		f = xcalloc(1, sizeof(*f) + size);
		memcpy(f->name, name, size);
		table_put(&l->by_name, &f->by_name, table_hash(l->seed, name));
		l->n++;
	} else {
		list_remove(&f->by_use);
	}
	list_init(&f->by_use);
	list_insert(&l->by_use, &f->by_use);
	if (limits->window_ns && now_ns - f->last_ns > limits->window_ns)
		f->count = 0;
	f->last_ns = now_ns;
	f->count++;
	if (f->until_ns || f->count < limits->failures)
		return false;
	f->until_ns = limits->lock_ns ? now_ns + limits->lock_ns : UINT64_MAX;
	return true;
}

void lockout_forget(struct lockout *l, const char *name)
{
	struct failure *f = find(l, name);

	if (f)
		drop(l, f);
}

#include "controller/pools.h"

#include "base/base.h"
#include "controller/resolve.h"

struct walk {
	struct store *store;
	pools_fn f;
	void *arg;
	const struct object **seen;
	size_t n;
};

static int look(struct walk *w, const char *uuid, enum pools_role role)
{
	const struct object *pool = store_get(w->store, "pool", uuid);

	if (!pool)
		return 0;
	for (size_t i = 0; i < w->n; i++)
		if (w->seen[i] == pool)
			return 0;
	w->seen = xrealloc(w->seen, (w->n + 1) * sizeof(w->seen[0]));
	w->seen[w->n++] = pool;
	return w->f(w->arg, pool, role);
}

const char *pools_backup(const json_t *body)
{
	const json_t *fail = json_object_get(body, "fail_action");
	const char *ref = json_str(json_object_get(fail, "backup_pool"), "backup_pool_ref", NULL);

	return ref && strcmp(json_str(fail, "type", ""), "FAIL_ACTION_BACKUP_POOL") == 0 ? ref_target(ref) : NULL;
}

static int look_at_backups(struct walk *w, const json_t *body)
{
	const char *uuid = pools_backup(body);
	int rc = 0;

	for (unsigned n = 0; uuid && n < POOLS_BACKUPS_MAX && rc == 0; n++) {
		const struct object *pool = store_get(w->store, "pool", uuid);

		rc = look(w, uuid, POOLS_BACKUP);
		uuid = pool ? pools_backup(pool->body) : NULL;
	}
	return rc;
}

static int look_at_group(struct walk *w, const json_t *group)
{
	json_t *member;
	size_t i;
	int rc = 0;

	json_array_foreach(json_object_get(group, "members"), i, member) {
		rc = look(w, ref_target(json_str(member, "pool_ref", NULL)),
			  json_int(member, "ratio", 1) ? POOLS_OWN : POOLS_IDLE);
		if (rc)
			return rc;
	}
	return look_at_backups(w, group);
}

int pools_each_of(struct store *s, const json_t *group, pools_fn f, void *arg)
{
	struct walk w = { .store = s, .f = f, .arg = arg };
	int rc = look_at_group(&w, group);

	free(w.seen);
	return rc;
}

int pools_each(struct store *s, const json_t *vs, pools_fn f, void *arg)
{
	const char *uuid = ref_target(json_str(vs, "pool_ref", NULL));
	const struct object *group = store_get(s, "poolgroup", ref_target(json_str(vs, "pool_group_ref", NULL)));
	const struct object *pool = group ? NULL : store_get(s, "pool", uuid);
	struct walk w = { .store = s, .f = f, .arg = arg };
	int rc = group ? look_at_group(&w, group->body) : look(&w, uuid, POOLS_OWN);

	if (rc == 0 && pool)
		rc = look_at_backups(&w, pool->body);
	free(w.seen);
	return rc;
}

struct users {
	struct store *store;
	const char *pool;
	int (*f)(void *arg, const struct object *vs);
	void *arg;
	unsigned depth;
};

static int is_pool(void *arg, const struct object *pool, enum pools_role role)
{
	return role != POOLS_IDLE && strcmp(pool->uuid, arg) == 0;
}

static int look_at_user(void *arg, const struct object *o)
{
	struct users next = *(const struct users *)arg;

	if (strcmp(o->kind->path, "virtualservice") == 0)
		return pools_each(next.store, o->body, is_pool, (void *)next.pool) ? next.f(next.arg, o) : 0;
	if (next.depth++ > POOLS_BACKUPS_MAX ||
	    (strcmp(o->kind->path, "pool") != 0 && strcmp(o->kind->path, "poolgroup") != 0))
		return 0;
	return store_referrers(next.store, o->kind->path, o->uuid, look_at_user, &next);
}

int pools_users(struct store *s, const char *pool, int (*f)(void *arg, const struct object *vs), void *arg)
{
	struct users u = { .store = s, .pool = pool, .f = f, .arg = arg };

	return store_referrers(s, "pool", pool, look_at_user, &u);
}

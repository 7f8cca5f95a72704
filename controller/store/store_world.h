/*
 * store_world - a store in a folder of its own, opened before each test and removed behind it, and short words for
 * transactions of one change.
 */
#ifndef SPANWIRE_CONTROLLER_STORE_STORE_WORLD_H
#define SPANWIRE_CONTROLLER_STORE_STORE_WORLD_H

#include "base/test.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/store/disk.h"
#include "controller/store/store.h"
#include "controller/store/test_kinds.h"

struct world {
	char dir[64];
	struct store *s;
	struct err e;
};

static inline int open_world(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	snprintf(w->dir, sizeof(w->dir), "/tmp/swstore-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(store_open(w->dir, &w->s, &w->e), 0);
	*state = w;
	return 0;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline int close_world(void **state)
{
	struct world *w = *state;

	store_close(w->s);
	nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

static inline void reopen(struct world *w)
{
	store_close(w->s);
	if (store_open(w->dir, &w->s, &w->e))
		fail_msg("%s", err_line(&w->e));
}

static inline json_t *named(const char *name)
{
	return json_pack("{s:s}", "name", name);
}

static inline json_t *service_of(const char *name, const char *group)
{
	return json_pack("{s:s, s:o}", "name", name, "group_ref",
			 json_sprintf("/api/group/%s", group));
}

/* Takes BODY. */
static inline int try_create(struct txn *t, const struct kind_desc *k, const char *uuid,
		      const char *tenant, json_t *body, struct err *e)
{
	int rc = txn_create(t, k, uuid, tenant, "", body, false, e);

	json_decref(body);
	return rc;
}

static inline void create(struct world *w, const struct kind_desc *k, const char *uuid, json_t *body)
{
	struct txn *t = txn_begin(w->s);

	assert_int_equal(try_create(t, k, uuid, "", body, &w->e), 0);
	assert_int_equal(txn_commit(t, NULL, &w->e), 0);
}

static inline int update(struct world *w, const struct kind_desc *k, const char *uuid, json_t *body,
		  uint64_t expect_us)
{
	struct txn *t = txn_begin(w->s);
	int rc = txn_update(t, k, uuid, body, expect_us, &w->e);

	json_decref(body);
	if (rc) {
		txn_abort(t);
		return rc;
	}
	return txn_commit(t, NULL, &w->e);
}

static inline int delete (struct world *w, const struct kind_desc *k, const char *uuid)
{
	struct txn *t = txn_begin(w->s);
	int rc = txn_delete(t, k, uuid, &w->e);

	if (rc) {
		txn_abort(t);
		return rc;
	}
	return txn_commit(t, NULL, &w->e);
}

struct names {
	char text[512];
};

static inline int note_name(void *arg, const struct object *o)
{
	struct names *n = arg;
	size_t len = strlen(n->text);

	snprintf(n->text + len, sizeof(n->text) - len, "%s ", o->name);
	return 0;
}

#define assert_each(w, kind, expected)                                                             \
	do {                                                                                       \
		struct names n_ = { 0 };                                                           \
		store_each((w)->s, kind, note_name, &n_);                                          \
		assert_string_equal(n_.text, expected);                                            \
	} while (0)

#define assert_referrers(w, kind, uuid, expected)                                                  \
	do {                                                                                       \
		struct names n_ = { 0 };                                                           \
		store_referrers((w)->s, kind, uuid, note_name, &n_);                               \
		assert_string_equal(n_.text, expected);                                            \
	} while (0)

#endif

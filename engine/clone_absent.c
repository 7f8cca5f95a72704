/*
 * The interface of engine/clone.h where nothing is behind it: a service that asks for copies is served, and says that
 * it has none.
 */
#include <errno.h>

#include "engine/clone.h"

struct clones {
	int none;
};

int clones_new(struct loop *l, struct netlink *n, struct datapath *d, struct clones **out, struct err *e)
{
	(void)l, (void)n, (void)d, (void)e;
	*out = xcalloc(1, sizeof(**out));
	return 0;
}

void clones_free(struct clones *t)
{
	free(t);
}

void clones_production(struct clones *t, const struct in6_addr *addrs, size_t n)
{
	(void)t, (void)addrs, (void)n;
}

int clone_set_new(struct clones *t, const struct clone_want *w, size_t n, struct clone_set **out, struct err *e)
{
	(void)t, (void)w, (void)n, (void)out;
	return err_set(e, -ENOTSUP, NULL, "This engine was built without cloning.");
}

void clone_set_free(struct clone_set *s)
{
	must(!s);
}

struct clone_range clone_set_range(const struct clone_set *s)
{
	must(!s);
	return (struct clone_range){ 0 };
}

void clone_set_read(struct clone_set *s, uint32_t i, struct clone_books *out)
{
	(void)i, (void)out;
	must(!s);
}

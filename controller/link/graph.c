#include "controller/link/graph.h"

#include "base/base.h"
#include "base/table.h"
#include "net/digest.h"

const char *const graph_kinds[] = {
	"assignment",
	"serviceengine",
	"virtualservice",
	"serviceenginegroup",
	"vsvip",
	"poolgroup",
	"prioritylabels",
	"pool",
	"applicationpersistenceprofile",
	"healthmonitor",
	"networksecuritypolicy",
	"ipaddrgroup",
	"networkprofile",
	"applicationprofile",
	"analyticsprofile",
	"trafficcloneprofile",
	"sslprofile",
	"sslkeyandcertificate",
	"pkiprofile",
	"network",
	"vrfcontext",
	"capture",
};
const size_t graph_n_kinds = ARRAY_SIZE(graph_kinds);

/* An object that somebody holds, or that something held refers to. */
struct node {
	struct table_link link;
	unsigned rank; /* index in graph_kinds */
	char *uuid;
	bool exists;
	uint64_t digest, revision;
	struct node **refs; /* each counts in its `users` */
	size_t n_refs;
	unsigned users;
	struct list holders; /* struct held by in_node */
};

/* A node in the hands of one engine. */
struct held {
	struct list in_holder, in_node, dirty;
	struct node *node;
	struct holder *holder;
	unsigned refs; /* as a root, and from other nodes that the engine holds; 0: to be deleted */
	bool sent;
	uint64_t digest; /* as sent */
};

struct graph {
	struct table nodes;
	struct graph_source *source;
};

static unsigned rank_of(const char *kind)
{
	unsigned i = 0;

	while (i < graph_n_kinds && strcmp(graph_kinds[i], kind) != 0)
		i++;
	return i;
}

struct graph *graph_new(struct graph_source *source)
{
	struct graph *g = xcalloc(1, sizeof(*g));

	g->source = source;
	return g;
}

void graph_free(struct graph *g)
{
	if (!g)
		return;
	must(g->nodes.n == 0);
	table_fini(&g->nodes);
	free(g);
}

/* ---- nodes ----------------------------------------------------------- */

static uint64_t node_hash(unsigned rank, const char *uuid)
{
	return table_hash(table_hash(TABLE_SEED, graph_kinds[rank]), uuid);
}

static struct node *node_find(struct graph *g, unsigned rank, const char *uuid)
{
	for (struct table_link *l = table_first(&g->nodes, node_hash(rank, uuid)); l;
	     l = table_next(l)) {
		struct node *n = CONTAINER_OF(l, struct node, link);

		if (n->rank == rank && strcmp(n->uuid, uuid) == 0)
			return n;
	}
	return NULL;
}

static void node_put(struct graph *g, struct node *n);

static void refs_put(struct graph *g, struct node **refs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		refs[i]->users--;
		node_put(g, refs[i]);
	}
	free(refs);
}

/* Frees N when nobody names it any more. */
static void node_put(struct graph *g, struct node *n)
{
	struct node **refs = n->refs;
	size_t n_refs = n->n_refs;

	if (n->users || !list_empty(&n->holders))
		return;
	table_take(&g->nodes, &n->link);
	free(n->uuid);
	free(n);
	refs_put(g, refs, n_refs);
}

static struct node *node_get(struct graph *g, unsigned rank, const char *uuid);

struct refs {
	struct graph *graph;
	const struct node *of;
	struct node **refs;
	size_t n;
};

static int add_ref(void *arg, const char *path, const char *kind, const char *uuid)
{
	struct refs *r = arg;
	unsigned rank = rank_of(kind);

	(void)path;
	if (rank >= graph_n_kinds || rank < r->of->rank)
		return 0;
	/* Among objects of a kind only pools lead on, to those that stand in; never in a circle (rules/pool.c). */
	if (rank == r->of->rank && (strcmp(kind, "pool") != 0 || strcmp(uuid, r->of->uuid) == 0))
		return 0;
	for (size_t i = 0; i < r->n; i++)
		if (r->refs[i]->rank == rank && strcmp(r->refs[i]->uuid, uuid) == 0)
			return 0;
	r->refs = xrealloc(r->refs, (r->n + 1) * sizeof(*r->refs));
	r->refs[r->n] = node_get(r->graph, rank, uuid);
	r->refs[r->n++]->users++;
	return 0;
}

/* Read N's object from the source: its digest, and the references that it has now. */
static void node_read(struct graph *g, struct node *n)
{
	const char *name;
	const json_t *object = g->source->object(g->source, graph_kinds[n->rank], n->uuid, &name,
						 &n->revision);
	struct refs r = { .graph = g, .of = n };

	n->exists = object != NULL;
	if (object) {
		n->digest = digest_object(graph_kinds[n->rank], n->uuid, object);
		model_refs(kind_find(graph_kinds[n->rank]), object, add_ref, &r);
	}
	n->refs = r.refs;
	n->n_refs = r.n;
}

static struct node *node_get(struct graph *g, unsigned rank, const char *uuid)
{
	struct node *n = node_find(g, rank, uuid);

	if (n)
		return n;
	n = xcalloc(1, sizeof(*n));
	n->rank = rank;
	n->uuid = xstrdup(uuid);
	list_init(&n->holders);
	table_put(&g->nodes, &n->link, node_hash(rank, uuid));
	node_read(g, n);
	return n;
}

/* ---- holding --------------------------------------------------------- */

static void mark(struct held *x)
{
	if (list_empty(&x->dirty))
		list_insert(&x->holder->dirty, &x->dirty);
}

static struct held *held_find(const struct holder *h, const struct node *n)
{
	LIST_FOREACH(l, &((struct node *)n)->holders)
		if (LIST_ENTRY(l, struct held, in_node)->holder == h)
			return LIST_ENTRY(l, struct held, in_node);
	return NULL;
}

static void hold(struct holder *h, struct node *n)
{
	struct held *x = held_find(h, n);

	if (!x) {
		x = xcalloc(1, sizeof(*x));
		x->node = n;
		x->holder = h;
		list_init(&x->in_holder);
		list_init(&x->in_node);
		list_init(&x->dirty);
		list_insert(&h->held, &x->in_holder);
		list_insert(&n->holders, &x->in_node);
		h->n++;
	}
	if (x->refs++)
		return;
	mark(x);
	for (size_t i = 0; i < n->n_refs; i++)
		hold(h, n->refs[i]);
}

static void release(struct holder *h, struct node *n)
{
	struct held *x = held_find(h, n);

	must(x && x->refs);
	if (--x->refs)
		return;
	mark(x);
	for (size_t i = 0; i < n->n_refs; i++)
		release(h, n->refs[i]);
}

/* X is held no more, and its engine knows. */
static void held_free(struct graph *g, struct held *x)
{
	struct node *n = x->node;

	list_remove(&x->in_holder);
	list_remove(&x->in_node);
	list_remove(&x->dirty);
	x->holder->n--;
	free(x);
	node_put(g, n);
}

void graph_hold(struct graph *g, struct holder *h, const char *kind, const char *uuid)
{
	hold(h, node_get(g, rank_of(kind), uuid));
}

void graph_release(struct graph *g, struct holder *h, const char *kind, const char *uuid)
{
	struct node *n = node_find(g, rank_of(kind), uuid);

	must(n);
	release(h, n);
}

void holder_init(struct holder *h)
{
	*h = (struct holder){ 0 };
	list_init(&h->held);
	list_init(&h->dirty);
}

void holder_fini(struct graph *g, struct holder *h)
{
	while (!list_empty(&h->held))
		held_free(g, LIST_ENTRY(h->held.next, struct held, in_holder));
	h->digest = 0;
}

/* ---- change and difference ------------------------------------------- */

void graph_changed(struct graph *g, const char *kind, const char *uuid,
		   void (*f)(void *arg, struct holder *h), void *arg)
{
	unsigned rank = rank_of(kind);
	struct node *n = rank < graph_n_kinds ? node_find(g, rank, uuid) : NULL;
	struct node **old;
	size_t n_old;

	if (!n)
		return;
	old = n->refs;
	n_old = n->n_refs;
	node_read(g, n);
	LIST_FOREACH(l, &n->holders) {
		struct held *x = LIST_ENTRY(l, struct held, in_node);

		mark(x);
		if (x->refs) {
			/* The new first, so that what both name is not let go in between. */
			for (size_t i = 0; i < n->n_refs; i++)
				hold(x->holder, n->refs[i]);
			for (size_t i = 0; i < n_old; i++)
				release(x->holder, old[i]);
		}
		if (f)
			f(arg, x->holder);
	}
	refs_put(g, old, n_old);
}

void graph_met(struct graph *g, struct holder *h, const json_t *digests,
	       void (*remove)(void *arg, const char *kind, const char *uuid), void *arg)
{
	const char *key;
	json_t *v;

	h->digest = 0;
	LIST_FOREACH(l, &h->held) {
		struct held *x = LIST_ENTRY(l, struct held, in_holder);
		CLEANUP_FREE char *name = xasprintf("%s/%s", graph_kinds[x->node->rank],
						    x->node->uuid);
		const json_t *digest = json_object_get(digests, name);

		x->sent = json_is_integer(digest);
		x->digest = (uint64_t)json_integer_value(digest);
		h->digest += x->sent ? x->digest : 0;
		mark(x);
	}
	json_object_foreach((json_t *)digests, key, v) {
		const char *slash = strchr(key, '/');
		CLEANUP_FREE char *kind = xstrndup(key, slash ? (size_t)(slash - key) : 0);
		unsigned rank = rank_of(kind);
		struct node *n = slash && rank < graph_n_kinds ? node_find(g, rank, slash + 1)
							       : NULL;

		if (slash && (!n || !held_find(h, n)))
			remove(arg, kind, slash + 1);
	}
}

bool holder_has(struct graph *g, const struct holder *h, const char *kind, const char *uuid)
{
	unsigned rank = rank_of(kind);
	const struct node *n = rank < graph_n_kinds ? node_find(g, rank, uuid) : NULL;

	return n && held_find(h, n);
}

size_t graph_flush(struct graph *g, struct holder *h, const struct graph_sink *sink, void *arg)
{
	size_t told = 0;

	while (holder_is_dirty(h)) {
		struct held *x = LIST_ENTRY(h->dirty.next, struct held, dirty);
		struct node *n = x->node;
		bool wanted = x->refs && n->exists;

		list_remove(&x->dirty);
		if (x->sent && (!wanted || x->digest != n->digest)) {
			h->digest -= x->digest;
			if (!wanted) {
				sink->remove(arg, graph_kinds[n->rank], n->uuid);
				told++;
			}
			x->sent = false;
		}
		if (wanted && !x->sent) {
			const char *name = NULL;
			uint64_t revision;
			const json_t *o = g->source->object(g->source, graph_kinds[n->rank],
							    n->uuid, &name, &revision);

			sink->put(arg, graph_kinds[n->rank], n->uuid, name, revision, o);
			x->sent = true;
			x->digest = n->digest;
			h->digest += n->digest;
			told++;
		}
		if (!x->refs)
			held_free(g, x);
	}
	return told;
}

void graph_each(const struct holder *h, const char *kind, void (*f)(void *arg, const char *uuid),
		void *arg)
{
	unsigned rank = rank_of(kind);

	LIST_FOREACH(l, &((struct holder *)h)->held) {
		struct held *x = LIST_ENTRY(l, struct held, in_holder);

		if (x->node->rank == rank && x->refs)
			f(arg, x->node->uuid);
	}
}

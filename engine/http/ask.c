#include "engine/http/ask.h"

#include <strings.h>
#include <time.h>

#include "base/base.h"
#include "engine/http/sticky.h"
#include "engine/worker.h"
#include "model/structs.h"
#include "net/cookie.h"

static void key_of_header(struct upstream_ask *ask, const struct http1_head *h, const char *in, const char *name)
{
	size_t len = name ? strlen(name) : 0;

	for (uint32_t i = 0; i < h->fields_n && len; i++) {
		const struct http1_field *f = &h->fields[i];

		if (f->name_len != len || strncasecmp(in + f->name_at, name, len) != 0)
			continue;
		ask->key = lb_hash_bytes(LB_HASH_SEED, in + f->value.at, f->value.len);
		return;
	}
}

static size_t place_of_cookie(const struct sticky *s, const struct http1_head *h, const char *in)
{
	const char *name = sticky_name(s), *value;
	size_t len, place = SIZE_MAX;

	for (uint32_t i = 0; i < h->fields_n && place == SIZE_MAX; i++) {
		const struct http1_field *f = &h->fields[i];

		if (f->name_len != 6 || !http1_name_equal(in + f->name_at, "cookie", 6))
			continue;
		value = cookie_find(in + f->value.at, f->value.len, name, strlen(name), &len);
		if (value)
			place = sticky_find(s, value, len, (uint32_t)(time(NULL) / 60));
	}
	return place;
}

struct upstream_ask ask_of(struct exchange *x, const struct http1_head *h, const char *in)
{
	const struct snapshot *s = x->client->listener->snapshot;
	struct upstream_ask ask = upstream_ask_of(&x->client->peer, x->client->service, s);

	x->cookie_place = SIZE_MAX;
	for (size_t i = 0; i < s->n_pools; i++) {
		const struct snapshot_pool *p = &s->pools[i];
		size_t place;

		/* Without a group it is the only one; in a group the client's cookie says which one. */
		if (!p->persist.cookie || (p != ask.pool && (p->spare || !s->n_members)))
			continue;
		place = place_of_cookie(p->persist.cookie, h, in);
		if (place >= p->n_servers)
			continue;
		if (p != ask.pool && !(x->client->service->pool_at[i]->open && x->client->service->pool_at[i]->up))
			continue;
		upstream_ask_pool(&ask, &x->client->peer, p);
		x->cookie_place = place;
		ask.stay = p->servers[place].backend;
		break;
	}
	if (!ask.pool || ask.pool->rules.kind != LB_CONSISTENT_HASH)
		return ask;
	if (ask.pool->pool->lb_algorithm_hash == LB_ALGORITHM_CONSISTENT_HASH_URI)
		ask.key = lb_hash_bytes(LB_HASH_SEED, in + h->path.at, h->path.len);
	else if (ask.pool->pool->lb_algorithm_hash == LB_ALGORITHM_CONSISTENT_HASH_CUSTOM_HEADER)
		key_of_header(&ask, h, in, ask.pool->pool->lb_algorithm_consistent_hash_hdr);
	return ask;
}

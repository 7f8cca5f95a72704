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
	struct upstream_ask ask = upstream_ask_of(&x->client->peer, x->client->listener->snapshot);

	x->cookie_place = SIZE_MAX;
	if (ask.pool && ask.pool->persist.cookie) {
		x->cookie_place = place_of_cookie(ask.pool->persist.cookie, h, in);
		if (x->cookie_place < ask.pool->n_servers)
			ask.stay = ask.pool->servers[x->cookie_place].backend;
	}
	if (!ask.pool || ask.pool->rules.kind != LB_CONSISTENT_HASH)
		return ask;
	if (ask.pool->pool->lb_algorithm_hash == LB_ALGORITHM_CONSISTENT_HASH_URI)
		ask.key = lb_hash_bytes(LB_HASH_SEED, in + h->path.at, h->path.len);
	else if (ask.pool->pool->lb_algorithm_hash == LB_ALGORITHM_CONSISTENT_HASH_CUSTOM_HEADER)
		key_of_header(&ask, h, in, ask.pool->pool->lb_algorithm_consistent_hash_hdr);
	return ask;
}

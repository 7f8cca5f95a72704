#include "engine/http/ask.h"

#include <strings.h>

#include "base/base.h"
#include "engine/worker.h"
#include "model/structs.h"

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

struct upstream_ask ask_of(const struct exchange *x, const struct http1_head *h, const char *in)
{
	struct upstream_ask ask = upstream_ask_of(&x->client->peer, x->client->listener->snapshot);

	if (!ask.pool || ask.pool->rules.kind != LB_CONSISTENT_HASH)
		return ask;
	if (ask.pool->pool->lb_algorithm_hash == LB_ALGORITHM_CONSISTENT_HASH_URI)
		ask.key = lb_hash_bytes(LB_HASH_SEED, in + h->path.at, h->path.len);
	else if (ask.pool->pool->lb_algorithm_hash == LB_ALGORITHM_CONSISTENT_HASH_CUSTOM_HEADER)
		key_of_header(&ask, h, in, ask.pool->pool->lb_algorithm_consistent_hash_hdr);
	return ask;
}

#include "engine/config/silence.h"

#include "base/base.h"
#include "engine/link/link.h"
#include "model/model.h"

#define BACKUPS_MAX 10 /* more than stand in, one for the other */

struct silence {
	const struct link *link;
	json_t *health; /* pool -> its servers as the proxy told last; those that are checked */
};

struct silence *silence_new(const struct link *k)
{
	struct silence *s = xcalloc(1, sizeof(*s));

	s->link = k;
	s->health = json_object();
	return s;
}

void silence_free(struct silence *s)
{
	if (!s)
		return;
	json_decref(s->health);
	free(s);
}

void silence_health(struct silence *s, const char *pool, json_t *servers)
{
	if (servers)
		json_object_set(s->health, pool, servers);
	else
		json_object_del(s->health, pool);
}

struct downs {
	const struct silence *silence;
	json_t *seen; /* pools; some are named more than once */
	unsigned pools, down, deep;
};

static int count_down(void *arg, const char *path, const char *kind, const char *uuid)
{
	struct downs *d = arg;
	json_t *servers = json_object_get(d->silence->health, uuid), *s;
	const json_t *o = link_object(d->silence->link, kind, uuid);
	bool up = !json_array_size(servers);
	size_t i;

	(void)path;
	if ((strcmp(kind, "poolgroup") == 0 || strcmp(kind, "pool") == 0) && o && d->deep < BACKUPS_MAX) {
		d->deep++;
		model_refs(kind_find(kind), o, count_down, d); /* also the pools that stand in */
		d->deep--;
	}
	if (strcmp(kind, "pool") != 0 || json_object_get(d->seen, uuid))
		return 0;
	json_object_set_new(d->seen, uuid, json_true());
	json_array_foreach(servers, i, s)
		up = up || strcmp(json_str(s, "state", ""), "OPER_DOWN") != 0;
	d->pools++;
	d->down += !up;
	return 0;
}

bool silence_of(const struct silence *s, const char *uuid)
{
	const json_t *vs = link_object(s->link, "virtualservice", uuid);
	CLEANUP_JSON json_t *seen = json_object();
	struct downs d = { .silence = s, .seen = seen };

	model_refs(kind_find("virtualservice"), vs, count_down, &d);
	return (d.pools && d.down == d.pools) || d.pools - d.down < (unsigned)json_int(vs, "min_pools_up", 0);
}

#include "controller/link/spare.h"

#include "base/base.h"
#include "base/log.h"
#include "controller/audit.h"
#include "controller/link/fleet.h"

struct spare {
	json_int_t wanted, most; /* buffer_se, max_vs_per_se */
	size_t engines;          /* that are up and take what comes */
	size_t may_fail;
	bool unseen;             /* one may still come, since the controller began */
	json_int_t load;
	json_int_t stranded;     /* services without room when the wanted number fails */
};

static int fullest_first(const void *a, const void *b)
{
	json_int_t x = *(const json_int_t *)a, y = *(const json_int_t *)b;

	return (y > x) - (y < x);
}

/* Of what the N fullest carry: how much finds no room with the others? */
static json_int_t without_room(const json_int_t *loads, size_t engines, size_t n, json_int_t most)
{
	json_int_t homeless = 0, room = 0;

	for (size_t i = 0; i < engines; i++)
		if (i < n)
			homeless += loads[i];
		else
			room += MAX(most - loads[i], (json_int_t)0);
	return MAX(homeless - room, (json_int_t)0);
}

static struct spare spare_of(struct fleet *f, const struct object *group)
{
	struct spare s = { .wanted = json_int(group->body, "buffer_se", 1), .most = json_int(group->body, "max_vs_per_se", 10) };
	json_int_t *loads = NULL;
	size_t size = 0;

	LIST_FOREACH(l, &f->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);

		if (strcmp(e->group, group->uuid) != 0)
			continue;
		s.unseen = s.unseen || e->life == PLACE_UNSEEN;
		if (e->life != PLACE_ALIVE || e->use != PLACE_ENABLED)
			continue;
		if (s.engines == size) {
			size = MAX(2 * size, (size_t)16);
			loads = xrealloc(loads, size * sizeof(loads[0]));
		}
		loads[s.engines++] = e->load;
		s.load += e->load;
	}
	if (s.engines)
		qsort(loads, s.engines, sizeof(loads[0]), fullest_first);
	while (s.may_fail + 1 < s.engines && !without_room(loads, s.engines, s.may_fail + 1, s.most))
		s.may_fail++;
	s.stranded = without_room(loads, s.engines, MIN((size_t)MAX(s.wanted, (json_int_t)0), s.engines), s.most);
	free(loads);
	return s;
}

static bool is_safe(const struct spare *s)
{
	return s->wanted <= 0 || s->may_fail >= (size_t)s->wanted;
}

static const char *reason(const struct spare *s, char *text, size_t size)
{
	text[0] = '\0';
	if (!is_safe(s) && s->load)
		snprintf(text, size, "If %lld of its %zu service engines failed, %lld of %lld virtual services would find no room (max_vs_per_se %lld).",
			 (long long)s->wanted, s->engines, (long long)s->stranded, (long long)s->load, (long long)s->most);
	return text;
}

json_t *spare_shown(struct fleet *f, const struct object *group)
{
	struct spare s = spare_of(f, group);
	char text[256];

	return json_pack("{s:I, s:I, s:s}", "buffer_se", s.wanted, "num_se_may_fail", (json_int_t)s.may_fail, "reason",
			 reason(&s, text, sizeof(text)));
}

struct round {
	struct fleet *fleet;
	json_t *news; /* events */
};

static int follow(void *arg, const struct object *group)
{
	struct round *r = arg;
	struct fleet *f = r->fleet;
	struct spare s = spare_of(f, group);
	const json_t *before = json_object_get(f->spares, group->uuid);
	bool safe = is_safe(&s);
	char why[256], text[400];

	if (!s.load || s.unseen) /* nothing is carried, that could be lost; or nobody knows yet */
		return 0;
	if (before && safe == json_is_true(before))
		return 0;
	json_object_set_new(f->spares, group->uuid, json_boolean(safe));
	if (!before)
		return 0;
	if (safe)
		snprintf(text, sizeof(text), "Group %.96s could lose %lld of its %zu service engines and carry all again.", group->name,
			 (long long)s.wanted, s.engines);
	else
		snprintf(text, sizeof(text), "Group %.96s has no spare service engine any more. %s", group->name,
			 reason(&s, why, sizeof(why)));
	text_clean(text);
	log_info("spare group=%s text=\"%s\"", group->name, text);
	json_array_append_new(r->news, audit_event(safe ? "SE_GROUP_HA_ACTIVE" : "SE_GROUP_HA_COMPROMISED", "RESMGR",
						   "serviceenginegroup", group->uuid, group->name, group->tenant, NULL, "%s", text));
	return 0;
}

void spares_follow(struct fleet *f)
{
	struct round r = { f, json_array() };
	json_t *event;
	size_t i;

	store_each(f->store, "serviceenginegroup", follow, &r);
	json_array_foreach(r.news, i, event)
		store_event(f->store, json_incref(event), NULL);
	json_decref(r.news);
}

#include "engine/clone/series.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "engine/bpf/abi.h"

struct receiver {
	struct in6_addr ip;
	uint32_t session, users;
	char vrf[64];
};

/* As many as targets: each of them uses one at most, so a new one always finds a place. */
struct series {
	uint32_t known;
	struct receiver receivers[TARGETS_MAX];
};

struct series *series_new(void)
{
	return xcalloc(1, sizeof(struct series));
}

void series_free(struct series *s)
{
	free(s);
}

uint32_t series_get(struct series *s, const struct clone_want *w)
{
	uint32_t at = 0;

	while (at < s->known && (s->receivers[at].session != w->session || !ip_equal(&s->receivers[at].ip, &w->ip) ||
				 strcmp(s->receivers[at].vrf, w->vrf) != 0))
		at++;
	if (at == TARGETS_MAX)
		for (at = 0; s->receivers[at].users; at++)
			must(at + 1 < TARGETS_MAX);
	else if (at == s->known)
		s->known++;

	struct receiver *r = &s->receivers[at];
	if (!r->users) {
		r->ip = w->ip;
		r->session = w->session;
		memcpy(r->vrf, w->vrf, sizeof(r->vrf));
	}
	r->users++;
	return at;
}

void series_put(struct series *s, uint32_t number)
{
	must(s->receivers[number].users);
	s->receivers[number].users--;
}

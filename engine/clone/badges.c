#include "engine/clone/badges.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"

int badges_map(struct badge **all, int fd)
{
	void *at = mmap(NULL, BADGES_MAX * sizeof(**all), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int rc = at == MAP_FAILED ? -errno : 0;

	close(fd);
	if (rc == 0)
		*all = at;
	return rc;
}

void badges_init(struct badges *b, struct badge *all, unsigned worker, unsigned workers)
{
	uint32_t share = BADGES_MAX / workers;

	if (b->all)
		return;
	*b = (struct badges){ .all = all, .next = MAX(worker * share, 1u), .end = (worker + 1) * share };
	b->returned = xmalloc(share * sizeof(b->returned[0]));
}

void badges_fini(struct badges *b)
{
	free(b->returned);
	*b = (struct badges){ 0 };
}

uint16_t badge_take(struct badges *b)
{
	uint16_t place = 0;

	if (b->n_returned)
		place = b->returned[--b->n_returned];
	else if (b->next < b->end)
		place = (uint16_t)b->next++;
	if (place)
		b->all[place].turn++;
	return place;
}

void badge_put(struct badges *b, uint16_t place)
{
	if (place)
		b->returned[b->n_returned++] = place;
}

void badge_write(struct badges *b, uint16_t place, uint64_t flow_id, const union address *client)
{
	struct badge *to;

	if (!place)
		return;
	to = &b->all[place];
	address_mapped(client, to->client_addr);
	to->client_port = htons((uint16_t)address_port(client));
	/* A packet that leaves meanwhile has the one before, whole. */
	__atomic_store_n(&to->flow_id, flow_id, __ATOMIC_RELEASE);
}

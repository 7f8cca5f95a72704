#include "engine/buffer.h"

#include <errno.h>

#include "base/base.h"
#include "engine/counters.h"

#define KEPT_MAX (32u << 20) /* what lies in the pool beyond this goes back to the system */

static unsigned class_of(size_t n)
{
	unsigned k = 0;

	while ((size_t)BUFFER_MIN << k < n)
		k++;
	return k;
}

static void now_used(struct buffer_pool *p, size_t used)
{
	if (p->gauge)
		counter_add(p->gauge, used - p->used);
	p->used = used;
}

void buffer_pool_fini(struct buffer_pool *p)
{
	for (unsigned k = 0; k < BUFFER_CLASSES; k++)
		while (p->free[k]) {
			struct buffer *b = p->free[k];

			p->free[k] = b->next;
			free(b);
		}
	p->kept = 0;
}

struct buffer *buffer_get(struct buffer_pool *p, size_t n)
{
	unsigned k = class_of(n);
	size_t size = (size_t)BUFFER_MIN << k;
	struct buffer *b;

	if (n > BUFFER_MAX || (p->limit && p->used + size > p->limit))
		return NULL;
	b = p->free[k];
	if (b) {
		p->free[k] = b->next;
		p->kept -= size;
	} else {
		b = xmalloc(sizeof(*b) + size);
		b->size = (uint32_t)size;
	}
	b->start = b->end = 0;
	b->next = NULL;
	now_used(p, p->used + size);
	return b;
}

void buffer_put(struct buffer_pool *p, struct buffer *b)
{
	unsigned k;

	if (!b)
		return;
	k = class_of(b->size);
	must(p->used >= b->size);
	now_used(p, p->used - b->size);
	if (p->kept + b->size > KEPT_MAX) {
		free(b);
		return;
	}
	p->kept += b->size;
	b->next = p->free[k];
	p->free[k] = b;
}

int buffer_room(struct buffer_pool *p, struct buffer **b, size_t n)
{
	struct buffer *old = *b, *new;
	size_t len = buffer_len(old);

	if (buffer_avail(old) >= n && old)
		return 0;
	if (old && old->size - len >= n) {
		memmove(old->data, old->data + old->start, len);
		old->start = 0;
		old->end = (uint32_t)len;
		return 0;
	}
	new = buffer_get(p, len + n);
	if (!new)
		return -ENOBUFS;
	if (old)
		memcpy(new->data, old->data + old->start, len);
	new->end = (uint32_t)len;
	buffer_put(p, old);
	*b = new;
	return 0;
}

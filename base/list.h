/*
 * list - a ring of links inside the things it links; no allocation, O(1) removal.
 *
 * An empty head and a link that is in no list both point at themselves.
 */
#ifndef SPANWIRE_BASE_LIST_H
#define SPANWIRE_BASE_LIST_H

#include <stdbool.h>

#include "base/base.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_remove(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

/* Put L, which must be in no list, before AT (at the end, when AT is the head). */
static inline void list_insert(struct list *at, struct list *l)
{
	l->prev = at->prev;
	l->next = at;
	at->prev->next = l;
	at->prev = l;
}

#define LIST_ENTRY(l, type, member) CONTAINER_OF(l, type, member)
/* The body may remove the current entry, but no other. */
#define LIST_FOREACH(l, head)                                                        \
	for (struct list *l = (head)->next, *l##_next = l->next; l != (head);        \
	     l = l##_next, l##_next = l->next)

#endif

#include "engine/backend.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/base.h"

struct backend *backend_new(const char *pool_uuid, const union address *a, unsigned slot)
{
	struct backend *b = xcalloc(1, sizeof(*b));
	char ip[ADDRESS_TEXT];

	atomic_init(&b->refs, 1);
	atomic_init(&b->load, 0);
	atomic_init(&b->health, BACKEND_UNKNOWN);
	atomic_init(&b->since_ns, 0);
	atomic_init(&b->tasks, -1);
	atomic_init(&b->tasks_load, 0);
	atomic_init(&b->device, 0);
	atomic_init(&b->trouble, 0);
	atomic_init(&b->trouble_ns, 0);
	atomic_init(&b->refused_ns, 0);
	b->slot = slot;
	b->address = *a;
	address_ip(a, ip);
	snprintf(b->name, sizeof(b->name), "%.46s:%u", ip, address_port(a));
	snprintf(b->pool, sizeof(b->pool), "%s", pool_uuid);
	return b;
}

/* Nobody needs a right for this, as long as the socket is not bound yet. */
int backend_bind(int fd, int device)
{
	if (!device)
		return 0;
	if (device < 0)
		return -ENETUNREACH;
	return setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &device, sizeof(device)) < 0 ? -errno : 0;
}

struct backend *backend_get(struct backend *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void backend_put(struct backend *b)
{
	if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free(b);
}

#define FADE_NS (10 * NS_PER_S) /* after so long half of it is forgotten */

static unsigned trouble_of(struct backend *b, uint64_t now)
{
	unsigned n = atomic_load_explicit(&b->trouble, memory_order_relaxed);
	uint64_t then = atomic_load_explicit(&b->trouble_ns, memory_order_relaxed);

	return n && now > then ? n >> MIN((now - then) / FADE_NS, (uint64_t)31) : n;
}

/* Workers that judge at the same time may lose a judgement: it is a tendency, and no book. */
void backend_judge(struct backend *b, uint64_t now, bool good)
{
	unsigned n = trouble_of(b, now);

	if (good && !n) /* nearly always: nobody writes */
		return;
	atomic_store_explicit(&b->trouble, good ? n - 1 : MIN(n + 2, 2u * BACKEND_TROUBLE + 1), memory_order_relaxed);
	atomic_store_explicit(&b->trouble_ns, now, memory_order_relaxed);
}

unsigned backend_trouble(struct backend *b, uint64_t now)
{
	return trouble_of(b, now) / 2;
}

bool backend_take(struct backend *b, unsigned max)
{
	unsigned load = atomic_load_explicit(&b->load, memory_order_relaxed);

	if (!max) {
		atomic_fetch_add_explicit(&b->load, 1, memory_order_relaxed);
		return true;
	}
	do {
		if (load >= max)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&b->load, &load, load + 1, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

void backend_release(struct backend *b)
{
	must(atomic_fetch_sub_explicit(&b->load, 1, memory_order_relaxed) > 0);
}

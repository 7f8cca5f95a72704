/* Memory that a proxy may have filled with anything, read as what was said inside TLS, and told as packets. */
#include "base/base.h"

#include "engine/capture/excerpt.h"
#include "engine/capture/recite.h"

#define SERVICE 1
#define BYTES   (16u << 10)

/* Where a ring's head has them; its data begin at 4096. */
enum { WORD = 0, WRITTEN = 64, HEAD = 72, TAIL = 80 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Whoever takes it over believes it. */
static void check(const struct buf *b)
{
	const uint8_t *p = (const uint8_t *)b->data;
	size_t left = b->len;
	struct packets_item item;
	struct err e = { 0 };
	int rc;

	while ((rc = packets_take(&p, &left, &item, &e)) == 1)
		;
	must(rc == 0);
}

static void tell(const struct excerpt_past *past)
{
	struct recital *r = recital_new();
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < past->n; i++) {
		uint8_t frame[RECITE_BYTES];
		struct packets_frame f;
		struct packets_note n;

		if (recital_note(past->at[i], &n))
			packets_put_note(&b, &n);
		recital_frame(r, past->at[i], &f, frame);
		packets_put_frame(&b, &f);
	}
	check(&b);
	buf_fini(&b);
	recital_free(r);
}

/* The first byte says where the ring begins, the second whether its head is all it can be. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct excerpt g;
	struct excerpt_past past;
	struct excerpt_view v;
	uint64_t tail, head;

	if (!g.mem)
		must(excerpt_new(&g, 1, BYTES) == 0 && excerpt_give(&g, SERVICE) == 1);
	if (len < 2 || len - 2 > g.room)
		return 0;
	tail = (uint64_t)data[0] * 256;
	head = tail + (data[1] == 255 ? UINT64_MAX / 2 : len - 2 + data[1] * 8u);
	memset(g.mem + 4096, 0, g.room);
	for (size_t i = 0; i < len - 2; i++)
		g.mem[4096 + (tail + i) % g.room] = data[2 + i];
	memcpy(g.mem + WRITTEN, g.mem + WORD, 8);
	memcpy(g.mem + HEAD, &head, 8);
	memcpy(g.mem + TAIL, &tail, 8);
	must(excerpt_view(&g, SERVICE, &v));
	excerpt_read(&v, 0, UINT64_MAX, &past);
	tell(&past);
	excerpt_past_fini(&past);
	/* And who writes on there. */
	excerpt_put(&g, 0, &(struct excerpt_record){ .service = SERVICE, .len = 5, .wire = 5, .id_len = 2 }, "id", "GET /");
	return 0;
}

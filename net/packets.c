#include "net/packets.h"

#include <endian.h>
#include <errno.h>

#include "base/base.h"

/* Every item: its length with this head, its kind. */
struct head {
	uint32_t len;
	uint32_t kind;
};

struct frame {
	struct head head;
	uint64_t at_ns, flow, unused3;
	uint32_t port, wire_len;
	uint16_t worker, client_port;
	uint8_t leg, flags, unused[2];
	uint8_t client[16];
	uint32_t len, unused2;
};
_Static_assert(sizeof(struct frame) == 72, "no holes");

struct note {
	struct head head;
	uint64_t at_ns, flow;
	uint8_t leg, what, flags, len;
	uint16_t retry, port, server_port, unused[3];
	uint8_t server[16];
	struct packets_span span[PACKETS_TELLINGS];
	char request[PACKETS_REQUEST_MAX];
};
_Static_assert(sizeof(struct note) == 136, "no holes");

struct text {
	struct head head;
	uint32_t number;
};

size_t packets_frame_size(const struct packets_frame *f)
{
	return sizeof(struct frame) + f->len;
}

void packets_put_frame(struct buf *b, const struct packets_frame *f)
{
	struct frame w = {
		.head = { htole32((uint32_t)packets_frame_size(f)), htole32(PACKETS_FRAME) },
		.at_ns = htole64(f->at_ns),
		.flow = htole64(f->flow),
		.port = htole32(f->port),
		.wire_len = htole32(f->wire_len),
		.worker = htole16(f->worker),
		.client_port = htole16(f->client_port),
		.leg = f->leg,
		.flags = f->flags,
		.len = htole32(f->len),
	};

	memcpy(w.client, f->client, sizeof(w.client));
	buf_put(b, &w, sizeof(w));
	buf_put(b, f->data, f->len);
}

void packets_put_text(struct buf *b, enum packets_kind kind, uint32_t number, const char *text)
{
	uint32_t len = (uint32_t)strnlen(text, PACKETS_TEXT_MAX - 1);
	struct text w = { { htole32((uint32_t)sizeof(w) + len), htole32(kind) }, htole32(number) };

	buf_put(b, &w, sizeof(w));
	buf_put(b, text, len);
}

void packets_put_note(struct buf *b, const struct packets_note *n)
{
	struct note w = {
		.head = { htole32(sizeof(w)), htole32(PACKETS_NOTE) },
		.at_ns = htole64(n->at_ns),
		.flow = htole64(n->flow),
		.leg = n->leg,
		.what = n->what,
		.flags = n->flags,
		.len = (uint8_t)strnlen(n->request, PACKETS_REQUEST_MAX),
		.retry = htole16(n->retry),
		.port = htole16(n->port),
		.server_port = htole16(n->server_port),
	};

	memcpy(w.server, n->server, sizeof(w.server));
	for (unsigned i = 0; i < PACKETS_TELLINGS; i++)
		w.span[i] = (struct packets_span){ htole32(n->span[i].from), htole32(n->span[i].to) };
	memcpy(w.request, n->request, w.len);
	buf_put(b, &w, sizeof(w));
}

/* It goes into a file that others read line by line. */
static bool is_printable(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || (unsigned char)text[i] > '~')
			return false;
	return true;
}

static int take_note(const uint8_t *p, size_t len, struct packets_note *n, struct err *e)
{
	struct note w;

	if (len != sizeof(w))
		return err_set(e, -EINVAL, NULL, "A note of a capture is cut short, or too long.");
	memcpy(&w, p, sizeof(w));
	*n = (struct packets_note){
		.at_ns = le64toh(w.at_ns),
		.flow = le64toh(w.flow),
		.leg = w.leg,
		.what = w.what,
		.flags = w.flags,
		.retry = le16toh(w.retry),
		.port = le16toh(w.port),
		.server_port = le16toh(w.server_port),
	};
	memcpy(n->server, w.server, sizeof(n->server));
	for (unsigned i = 0; i < PACKETS_TELLINGS; i++)
		n->span[i] = (struct packets_span){ le32toh(w.span[i].from), le32toh(w.span[i].to) };
	if (w.leg > PACKETS_SERVER_LEG || w.what > NOTE_ANSWERED || w.len > sizeof(w.request) || !is_printable(w.request, w.len))
		return err_set(e, -EINVAL, NULL, "A note of a capture does not say what it is.");
	memcpy(n->request, w.request, w.len);
	return 1;
}

static int take_frame(const uint8_t *p, size_t len, struct packets_frame *f, struct err *e)
{
	struct frame w;

	if (len < sizeof(w))
		return err_set(e, -EINVAL, NULL, "A packet of a capture is cut short.");
	memcpy(&w, p, sizeof(w));
	*f = (struct packets_frame){
		.at_ns = le64toh(w.at_ns),
		.flow = le64toh(w.flow),
		.port = le32toh(w.port),
		.wire_len = le32toh(w.wire_len),
		.worker = le16toh(w.worker),
		.client_port = le16toh(w.client_port),
		.leg = w.leg,
		.flags = w.flags,
		.len = le32toh(w.len),
		.data = p + sizeof(w),
	};
	memcpy(f->client, w.client, sizeof(w.client));
	if (f->len != len - sizeof(w) || f->len > PACKETS_DATA_MAX || f->len > f->wire_len || f->leg > PACKETS_OTHER_LEG)
		return err_set(e, -EINVAL, NULL, "A packet of a capture does not say what it is.");
	return 1;
}

static int take_text(const uint8_t *p, size_t len, struct packets_item *out, struct err *e)
{
	struct text w;

	if (len < sizeof(w) || len - sizeof(w) >= PACKETS_TEXT_MAX)
		return err_set(e, -EINVAL, NULL, "A name in a capture is cut short, or too long.");
	memcpy(&w, p, sizeof(w));
	len -= sizeof(w);
	out->said.number = le32toh(w.number);
	memcpy(out->said.text, p + sizeof(w), len);
	out->said.text[len] = '\0';
	if (!is_printable(out->said.text, len))
		return err_set(e, -EINVAL, NULL, "A name in a capture has letters that none has.");
	return 1;
}

int packets_take(const uint8_t **p, size_t *len, struct packets_item *out, struct err *e)
{
	while (*len) {
		const uint8_t *at = *p;
		struct head h;
		uint32_t n;

		if (*len < sizeof(h))
			return err_set(e, -EINVAL, NULL, "An item of a capture is cut short.");
		memcpy(&h, at, sizeof(h));
		n = le32toh(h.len);
		if (n < sizeof(h) || n > *len)
			return err_set(e, -EINVAL, NULL, "An item of a capture is longer than its block.");
		*p += n;
		*len -= n;
		out->kind = le32toh(h.kind);
		if (out->kind == PACKETS_FRAME)
			return take_frame(at, n, &out->frame, e);
		if (out->kind == PACKETS_NOTE)
			return take_note(at, n, &out->note, e);
		if (out->kind == PACKETS_PORT || out->kind == PACKETS_SECRET)
			return take_text(at, n, out, e);
	}
	return 0;
}

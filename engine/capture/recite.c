#include "engine/capture/recite.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/ip.h"
#include "base/table.h"

#define ACK_PUSH 0x18

struct talk {
	struct table_link link;
	struct excerpt_end from, to;
	uint32_t next[2]; /* sequence numbers: of who opened it, of the other one */
};

struct recital {
	struct table talks;
};

struct recital *recital_new(void)
{
	return xcalloc(1, sizeof(struct recital));
}

void recital_free(struct recital *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->talks.size; i++)
		while (r->talks.heads[i]) {
			struct talk *t = CONTAINER_OF(r->talks.heads[i], struct talk, link);

			table_take(&r->talks, &t->link);
			free(t);
		}
	table_fini(&r->talks);
	free(r);
}

static bool is_same(const struct excerpt_end *a, const struct excerpt_end *b)
{
	return a->port == b->port && memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

/*
 * A client's connection is found by its flow, whose number is a keyed hash; one to a server, which goes from client to
 * client, by ports that no stranger chooses. *FRESH: nothing of it was told before.
 */
static struct talk *talk_of(struct recital *r, const struct excerpt_record *m, bool *fresh)
{
	uint64_t hash = m->leg == PACKETS_CLIENT_LEG ? m->flow : ((uint64_t)m->from.port << 16 | m->to.port) * 0x9E3779B97F4A7C15ULL;
	struct talk *t;

	*fresh = false;
	for (struct table_link *l = table_first(&r->talks, hash); l; l = table_next(l)) {
		t = CONTAINER_OF(l, struct talk, link);
		if (is_same(&t->from, &m->from) && is_same(&t->to, &m->to))
			return t;
	}
	t = xcalloc(1, sizeof(*t));
	t->from = m->from;
	t->to = m->to;
	t->next[0] = t->next[1] = 1;
	table_put(&r->talks, &t->link, hash);
	*fresh = true;
	return t;
}

/* ---- a frame ---- */

static uint8_t *put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	return put16(put16(p, v >> 16), v & 0xffff);
}

static uint8_t *put_bytes(uint8_t *p, const void *from, size_t n)
{
	memcpy(p, from, n);
	return p + n;
}

static uint32_t add(uint32_t sum, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)p[i] << 8 | (i + 1 < n ? p[i + 1] : 0);
	return sum;
}

static unsigned folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static uint8_t *put_ethernet(uint8_t *p, bool back, bool v4)
{
	/* Those of retold conversations; a reader knows them from their interface. */
	static const uint8_t macs[2][6] = { { 2, 0x53, 0x50, 0x57, 0, 3 }, { 2, 0x53, 0x50, 0x57, 0, 2 } };

	p = put_bytes(put_bytes(p, macs[!back], 6), macs[back], 6);
	return put16(p, v4 ? 0x0800 : 0x86dd);
}

static uint8_t *put_ip(uint8_t *p, const struct excerpt_end *from, const struct excerpt_end *to, uint32_t payload, bool v4)
{
	uint8_t *ip = p;

	if (!v4) {
		p = put16(put32(p, 6u << 28), payload);
		*p++ = 6; /* TCP */
		*p++ = 64;
		return put_bytes(put_bytes(p, from->addr, 16), to->addr, 16);
	}
	p = put16(put16(p, 0x4500), payload + 20);
	p = put32(p, 0x4000);      /* do not fragment */
	p = put16(p, 64 << 8 | 6); /* TCP */
	p = put_bytes(put_bytes(put16(p, 0), from->addr + 12, 4), to->addr + 12, 4);
	put16(ip + 10, folded(add(0, ip, 20)));
	return p;
}

size_t recite_head(const struct excerpt_record *m, const char *text, uint32_t next[static 2], uint8_t head[static RECITE_HEAD])
{
	bool v4 = ip_bytes_are_v4(m->from.addr) && ip_bytes_are_v4(m->to.addr);
	/* By whoever opened the connection: the client, or the engine towards a server. */
	bool back = (m->leg == PACKETS_CLIENT_LEG) == (m->out != 0);
	struct excerpt_end from = m->from, to = m->to;
	uint8_t *p = head, *tcp;

	to.port = to.port == 80 ? 8080 : 80;
	if (back) {
		struct excerpt_end other = from;

		from = to;
		to = other;
	}
	p = put_ethernet(p, back, v4);
	tcp = p = put_ip(p, &from, &to, 20 + m->wire, v4);
	p = put32(put32(put16(put16(p, from.port), to.port), next[back]), next[!back]);
	p = put32(put16(put16(p, 5 << 12 | ACK_PUSH), 0xffff), 0);
	/* That of a cut one would be of bytes that are not there. */
	if (m->len == m->wire)
		put16(tcp + 16, folded(add(add(add(add(6 + 20 + m->wire, from.addr + (v4 ? 12 : 0), v4 ? 4 : 16),
						   to.addr + (v4 ? 12 : 0), v4 ? 4 : 16), tcp, 20), text, m->len)));
	next[back] += m->wire;
	return (size_t)(p - head);
}

void recital_frame(struct recital *r, const struct excerpt_record *m, struct packets_frame *f, uint8_t data[static RECITE_BYTES])
{
	bool fresh;
	struct talk *t = talk_of(r, m, &fresh);
	size_t n = recite_head(m, excerpt_text(m), t->next, data);

	*f = (struct packets_frame){
		.at_ns = m->at_ns,
		.flow = m->flow,
		.wire_len = (uint32_t)n + m->wire,
		.len = (uint32_t)n + m->len,
		.worker = m->worker,
		.leg = m->leg,
		.flags = (uint8_t)(PACKETS_PLAIN | PACKETS_PEER | (m->out ? PACKETS_OUT : 0) | (fresh && m->nth ? PACKETS_OLDER : 0)),
		.client_port = m->client.port,
		.data = data,
	};
	memcpy(f->client, m->client.addr, sizeof(f->client));
	memcpy(data + n, excerpt_text(m), m->len);
}

bool recital_note(const struct excerpt_record *m, struct packets_note *n)
{
	if (m->what == EXCERPT_STREAM || (m->what == EXCERPT_ANSWER && m->leg == PACKETS_SERVER_LEG))
		return false;
	*n = (struct packets_note){ .at_ns = m->at_ns, .flow = m->flow, .leg = m->leg, .what = m->what == EXCERPT_ANSWER ? NOTE_OVER : NOTE_THERE,
				    .flags = NOTE_TLS | NOTE_RETOLD, .retry = m->retry, .port = m->from.port };
	if (m->leg == PACKETS_SERVER_LEG) {
		memcpy(n->server, m->to.addr, sizeof(n->server));
		n->server_port = m->to.port;
	}
	for (unsigned i = 0; i < m->id_len; i++)
		n->request[i] = (char)(isprint((unsigned char)excerpt_id(m)[i]) ? excerpt_id(m)[i] : '?');
	return m->id_len > 0;
}

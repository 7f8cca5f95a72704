/*
 * packets - what an engine tells the controller of a capture: items, one behind the other, in a block of bytes.
 *
 * Engines put, the controller takes; whoever takes believes nothing: a block that is not whole items is refused with a
 * sentence. Numbers are little-endian. Stamps are nanoseconds since 1970 on the clock of the engine, and so are those of
 * its pongs on the link: the controller corrects both alike.
 */
#ifndef SPANWIRE_NET_PACKETS_H
#define SPANWIRE_NET_PACKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define PACKETS_BLOCK_MAX (1u << 20)  /* of one block */
#define PACKETS_DATA_MAX  (256u << 10) /* of one packet */
#define PACKETS_TEXT_MAX  512

enum packets_kind {
	PACKETS_FRAME = 1,  /* a packet */
	PACKETS_PORT,       /* number and name of an interface, before its first packet */
	PACKETS_SECRET,     /* a line of a TLS key log */
	PACKETS_NOTE,       /* what a connection is, and which request it serves */
};

enum packets_leg { PACKETS_CLIENT_LEG, PACKETS_SERVER_LEG, PACKETS_OTHER_LEG };

enum {
	PACKETS_OUT = 1 << 0,     /* it left the engine */
	PACKETS_MONITOR = 1 << 1, /* of a health monitor */
	PACKETS_PEER = 1 << 2,    /* `client` and `client_port` are known (server leg) */
	PACKETS_GATED = 1 << 3,   /* dropped: the engine had no lease of the address */
	PACKETS_GUARDED = 1 << 4, /* dropped: a network security policy refuses it */
	PACKETS_PLAIN = 1 << 5,   /* no packet: what was said inside TLS, as one */
	PACKETS_OLDER = 1 << 6,   /* ... the first of its connection that is known, and not the first that was said */
};

#define PACKETS_NO_WORKER 0xffff

struct packets_frame {
	uint64_t at_ns;
	uint64_t flow;            /* the same for both directions; 0: none */
	uint32_t port;            /* interface: number of an item PACKETS_PORT */
	uint32_t wire_len;
	uint16_t worker;
	uint8_t leg, flags;
	uint8_t client[16];       /* for whom this flow to a server was opened, or is used just now */
	uint16_t client_port;     /* host order */
	uint32_t len;             /* of `data`: what was kept */
	const uint8_t *data;
};

#define PACKETS_REQUEST_MAX 64

enum { NOTE_TLS = 1 << 0, NOTE_KEYED = 1 << 1, NOTE_RETOLD = 1 << 2 };

/* Bytes of one direction, from one to before another, counted from its connection's first and round as TCP does. */
struct packets_span {
	uint32_t from, to;        /* equal: not known */
};

enum packets_told { PACKETS_WIRE, PACKETS_RETOLD, PACKETS_TELLINGS }; /* as it was; as PACKETS_PLAIN tells it */

/* There: on the client's leg; on the server's: it goes to that one. Answered: some of its answer leaves. */
enum note_what { NOTE_THERE, NOTE_OVER, NOTE_ANSWERED };

/* Engines tell notes when they know them: they are in the blocks before those of most packets that they are about. */
struct packets_note {
	uint64_t at_ns, flow;
	uint8_t leg;
	uint8_t what;             /* of the request */
	uint8_t flags;            /* of the connection: TLS, its secrets were told, what it says is retold */
	uint16_t retry;           /* so many servers were asked before */
	uint16_t port;            /* server leg: the engine's */
	uint16_t server_port;
	uint8_t server[16];       /* server leg */
	/* Client leg. There: what was read together with its head. Answered: what leaves; on the wire it may be less than that. */
	struct packets_span span[PACKETS_TELLINGS];
	char request[PACKETS_REQUEST_MAX + 1]; /* "": there is none, only a connection */
};

struct packets_item {
	enum packets_kind kind;
	struct packets_frame frame;
	struct packets_note note;
	struct {
		uint32_t number;
		char text[PACKETS_TEXT_MAX];  /* the name; of a secret the line, without its end */
	} said;
};

/* ---- putting ---- */

/* Room that a frame takes. */
size_t packets_frame_size(const struct packets_frame *f);
void packets_put_frame(struct buf *b, const struct packets_frame *f);
void packets_put_note(struct buf *b, const struct packets_note *n);
/* KIND: PACKETS_PORT, PACKETS_SECRET. TEXT is cut at PACKETS_TEXT_MAX. */
void packets_put_text(struct buf *b, enum packets_kind kind, uint32_t number, const char *text);

/* ---- taking ---- */

/*
 * The item at *P, of *LEN bytes, which move on. 1; 0 at the end; -EINVAL with a sentence. What is borrowed points into the
 * block. Items of a kind that is not known are passed over.
 */
int packets_take(const uint8_t **p, size_t *len, struct packets_item *out, struct err *e);

#endif

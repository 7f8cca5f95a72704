/*
 * synth - plaintext as a legal TCP conversation: bytes in, packets out.
 *
 * Whoever decrypted what two ends said has bytes and knows when an end closed. A sensor wants packets: a
 * handshake, segments of the size that was agreed on, acknowledgements in step with the data, FIN or RST as it
 * really was, checksums that are right. This makes them; it sends nothing, asks no clock and knows no device.
 *
 *	synth_init(&s, &client, &server, mss, macs);
 *	synth_open(&s, &out);                     // SYN, SYN-ACK, ACK
 *	synth_data(&s, SYNTH_CLIENT, iov, n, &out);
 *	if (synth_owes(&s)) ...                   // soon: synth_ack(&s, &out)
 *	synth_end(&s, SYNTH_SERVER, &out);        // FIN
 *	synth_reset(&s, SYNTH_CLIENT, &out);      // or RST
 *
 * Acknowledgements are as a real receiver's: with its own data when it has some, at once for two segments or
 * more, else when the caller asks (he waits some milliseconds, then calls synth_ack()).
 *
 * A frame is given to the caller's function in slices: the headers, which live for the call, and the data where
 * they lay. With `burst` a frame may hold many segments that somebody else cuts (the kernel, GSO): its TCP
 * checksum is then that of the pseudo header alone, as the kernel wants it.
 */
#ifndef SPANWIRE_ENGINE_CLONE_SYNTH_H
#define SPANWIRE_ENGINE_CLONE_SYNTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define SYNTH_HEAD_MAX 82     /* Ethernet, IPv6, TCP with the options of a SYN */
#define SYNTH_SLICES   66
#define SYNTH_L3       14     /* where the IP header begins */
#define SYNTH_MSS_MIN  64

enum synth_side { SYNTH_CLIENT, SYNTH_SERVER };

struct synth_end {
	uint8_t addr[16];         /* IPv4 as ::ffff:a.b.c.d; both of one family */
	uint16_t port;
};

struct synth_frame {
	const uint8_t *head;
	size_t head_len;
	size_t l4;                /* of it: where the TCP header begins */
	const struct iovec *data;
	int n_data;
	size_t data_len;
	uint16_t segment;         /* to be cut into segments of so many bytes; 0: it is one frame, complete */
	uint32_t frames;          /* that it is on the wire */
	uint64_t bytes;           /* their length, with all headers */
};

struct synth_out {
	void (*frame)(struct synth_out *o, const struct synth_frame *f);
	size_t burst;             /* most bytes of data in a frame that is to be cut; 0: nobody cuts */
};

struct synth {
	struct synth_end end[2];
	uint32_t next[2];         /* sequence number of the next byte, by side */
	uint32_t owed[2];         /* bytes that the other side has not acknowledged */
	uint16_t id[2];           /* of IPv4 packets */
	uint16_t mss;
	uint8_t macs[12];         /* destination, source; in both directions */
	bool v4;
	bool opened, over;
	bool ended[2];            /* FIN was sent */
};

/* ISNs are random. MSS is at least SYNTH_MSS_MIN. */
void synth_init(struct synth *s, const struct synth_end *client, const struct synth_end *server, unsigned mss,
		const uint8_t macs[static 12]);
/* The handshake. Others call it for themselves when it was forgotten. */
void synth_open(struct synth *s, struct synth_out *o);
/* N slices that SIDE said. After its end, or when all is over: nothing. */
void synth_data(struct synth *s, enum synth_side side, const struct iovec *iov, int n, struct synth_out *o);
/* Does one side wait for an acknowledgement? */
static inline bool synth_owes(const struct synth *s)
{
	return s->owed[0] || s->owed[1];
}
void synth_ack(struct synth *s, struct synth_out *o);
/* SIDE says no more. When both did, all is over. */
void synth_end(struct synth *s, enum synth_side side, struct synth_out *o);
/* SIDE broke it off. */
void synth_reset(struct synth *s, enum synth_side side, struct synth_out *o);

#endif

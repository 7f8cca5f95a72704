/*
 * cut - frames as they are on the wire, of what the kernel handles as one packet: segmentation (GSO) in software.
 *
 * A large send or a merged receive is cut into the segments that it becomes or came as: sequence numbers, lengths,
 * identifications and flags as a network card would make them, checksums complete. A single frame whose checksum the
 * card was to complete gets it; one whose checksum is wrong stays wrong. What was not kept of a packet (its end, when
 * only the beginning is) is missing in its frames; their checksums then cannot be known and stay what they are.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_CUT_H
#define SPANWIRE_ENGINE_CAPTURE_CUT_H

#include <stdbool.h>
#include <stdint.h>

struct cut {
	const uint8_t *data;  /* from the Ethernet header on */
	uint32_t len;         /* kept of it */
	uint32_t wire_len;    /* all of it */
	uint32_t gso_size;    /* payload of a segment; 0: it is one frame */
	uint32_t snap;        /* bytes of each frame that are wanted; 0: all */
	bool own;             /* the engine sends it: its checksum is right, or yet to be made */
};

struct cut_frame {
	const uint8_t *data;  /* until the next call */
	uint32_t len, wire_len;
};

/* Calls F for each frame until it gives false. The number of frames that it was called for. */
unsigned cut_frames(const struct cut *c, bool (*f)(void *arg, const struct cut_frame *frame), void *arg);

#endif

/*
 * mask - values of headers and trailers, overwritten as a message goes by.
 *
 * The bytes of a message come in pieces, cut anywhere; what is in the value of a header of one of the names
 * becomes '*', as long as it was, and the rest stays. Nothing is kept back. Continuation lines are a part of the
 * value. A head ends with its empty line; after an interim answer (1xx, but 101) another head follows and belongs to it.
 * Where a body comes in chunks, their sizes are followed up to the trailers; what is in them is not looked at.
 */
#ifndef SPANWIRE_ENGINE_CLONE_MASK_H
#define SPANWIRE_ENGINE_CLONE_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MASK_NAMES 32

struct mask_names {
	size_t n;                  /* at most MASK_NAMES */
	const char *const *names;  /* lower case */
};

struct mask {
	uint32_t maybe;            /* names that the line may still begin with, by bit */
	uint32_t at;               /* of the line: this many bytes were seen, up to where it matters */
	uint64_t left;             /* of a chunk; its size, as far as it was read */
	uint8_t state;
	bool first, interim;
	bool hides;                /* the line before is one of them */
	bool framing, chunked;     /* this line's name may be that which says chunks, the head has it */
	bool trailers;             /* these are */
	bool done;                 /* nothing more is looked at */
};

void mask_begin(struct mask *m);
/* Of the next N bytes so many are in a chunk: they have gone by. */
size_t mask_pass(struct mask *m, size_t n);
/* The next N bytes. So many of them were looked at: all, or up to the end of what is to be. */
size_t mask_run(struct mask *m, const struct mask_names *names, char *p, size_t n);

#endif

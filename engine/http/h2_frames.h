/*
 * h2_frames - where frames begin in what a client of HTTP/2 sends.
 *
 * nghttp2 passes over what belongs to a stream that is no more, and tells nobody. Who walks along sees it.
 */
#ifndef SPANWIRE_ENGINE_HTTP_H2_FRAMES_H
#define SPANWIRE_ENGINE_HTTP_H2_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H2_HEAD 9

struct h2_frames {
	uint32_t left; /* bytes until the next head: at first, those of the preface */
	uint8_t head[H2_HEAD], head_n;
};

/* The stream of the frame whose head was the last. */
int32_t h2_frames_stream(const struct h2_frames *f);

/* Goes on from *AT in the N bytes at P, until behind the next head of a frame of TYPE (true), or to the end. */
bool h2_frames_next(struct h2_frames *f, const uint8_t *p, size_t n, size_t *at, uint8_t type);

#endif

#include "engine/http/h2_frames.h"

#include "base/base.h"

int32_t h2_frames_stream(const struct h2_frames *f)
{
	return (f->head[5] & 0x7f) << 24 | f->head[6] << 16 | f->head[7] << 8 | f->head[8];
}

bool h2_frames_next(struct h2_frames *f, const uint8_t *p, size_t n, size_t *at, uint8_t type)
{
	while (*at < n) {
		size_t skip = MIN((size_t)f->left, n - *at);

		f->left -= (uint32_t)skip;
		*at += skip;
		if (*at == n)
			break;
		f->head[f->head_n++] = p[(*at)++];
		if (f->head_n < H2_HEAD)
			continue;
		f->head_n = 0;
		f->left = (uint32_t)(f->head[0] << 16 | f->head[1] << 8 | f->head[2]);
		if (f->head[3] == type)
			return true;
	}
	return false;
}

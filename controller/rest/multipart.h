/*
 * multipart - multipart/form-data (RFC 7578), piece by piece and strictly.
 *
 * Memory is bounded whatever comes: heads of parts and the delimiter are collected, what is in a
 * part is handed on as it arrives. What stands behind the closing delimiter is ignored: there are
 * clients that write a part there.
 */
#ifndef SPANWIRE_CONTROLLER_REST_MULTIPART_H
#define SPANWIRE_CONTROLLER_REST_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { MULTIPART_BOUNDARY_MAX = 70, MULTIPART_HEAD_MAX = 4096, MULTIPART_PARTS_MAX = 16 };

/* Each returns 0, or a negative errno with E set, which ends the parsing. */
struct multipart_user {
	/* FILE: the name of the sender's file, as it was sent; NULL: a field. */
	int (*part)(struct multipart_user *u, const char *name, const char *file, struct err *e);
	int (*data)(struct multipart_user *u, const char *data, size_t len, struct err *e);
	int (*part_over)(struct multipart_user *u, struct err *e);
};

struct multipart {
	struct multipart_user *user;
	/* "\r\n--BOUNDARY"; it begins with the only CR in it. */
	char delimiter[4 + MULTIPART_BOUNDARY_MAX + 1];
	size_t delimiter_len, matched;
	enum { MULTIPART_DATA, MULTIPART_TAIL, MULTIPART_HEAD, MULTIPART_OVER } state;
	bool in_part; /* DATA: false before the first delimiter, where nothing may stand */
	char tail[2], head[MULTIPART_HEAD_MAX];
	size_t tail_len, head_len;
	unsigned parts;
};

/* CONTENT_TYPE: of the request. -EINVAL: it is no multipart/form-data with a boundary. */
int multipart_init(struct multipart *m, const char *content_type, struct multipart_user *user,
		   struct err *e);
/* The next bytes of the body. After an error no more may be fed. */
int multipart_feed(struct multipart *m, const char *data, size_t len, struct err *e);
/* The body has ended: -EINVAL when the closing delimiter has not come. */
int multipart_end(const struct multipart *m, struct err *e);

#endif

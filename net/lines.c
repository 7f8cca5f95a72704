#include "net/lines.h"

#include <errno.h>

#include "base/base.h"

/* The line without its newline; NULL: none yet. */
static int take_line(struct buf *b, size_t *scanned, const char **line, size_t *len, struct err *e)
{
	char *end;

	if (*scanned > b->len)
		*scanned = b->len;
	end = b->len > *scanned ? memchr(b->data + *scanned, '\n', b->len - *scanned) : NULL;
	*len = end ? (size_t)(end - b->data) : b->len;
	*scanned = *len;
	if (*len > LINE_MAX_BYTES)
		return err_set(e, -EMSGSIZE, NULL, "a line of more than %u bytes", LINE_MAX_BYTES);
	*line = end ? b->data : NULL;
	return 0;
}

int lines_take(struct buf *b, size_t *scanned, json_t **msg, const char **type, struct err *e)
{
	for (;;) {
		CLEANUP_JSON json_t *v = NULL;
		const char *line = NULL;
		size_t len;
		int rc = take_line(b, scanned, &line, &len, e);

		if (rc < 0 || !line)
			return rc;
		*scanned = 0;
		if (len == 0 || (len == 1 && line[0] == '\r')) {
			buf_take(b, len + 1);
			continue;
		}
		rc = json_read(line, len, &v, e);
		buf_take(b, len + 1);
		if (rc < 0)
			return rc;
		*type = json_is_object(v) ? json_str(v, "type", NULL) : NULL;
		if (!*type)
			return err_set(e, -EINVAL, NULL,
				       "a line that is no JSON object with a type");
		*msg = v;
		v = NULL;
		return 1;
	}
}

void lines_put(struct buf *b, json_t *msg)
{
	CLEANUP_FREE char *text = json_text(msg);

	json_decref(msg);
	buf_puts(b, text);
	buf_put(b, "\n", 1);
}

size_t lines_send(struct stream *s, json_t *msg)
{
	struct buf b = BUF_INIT;
	size_t n;

	lines_put(&b, msg);
	n = stream_write(s, b.data, b.len) ? b.len : 0;
	buf_fini(&b);
	return n;
}

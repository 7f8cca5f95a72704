/*
 * value - what one field's value means: its default, its key in a list, its place in words.
 */
#include "base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>

#include "model/internal.h"

static size_t place_put(const struct place *p, char *out, size_t size)
{
	size_t n = p->up ? place_put(p->up, out, size) : 0;
	int added;

	if (n >= size)
		return n;
	if (p->name)
		added = snprintf(out + n, size - n, "%s%s", n ? "." : "", p->name);
	else
		added = snprintf(out + n, size - n, "[%zu]", p->index);
	return n + (size_t)added;
}

char *place_text(const struct place *p, char *out, size_t size)
{
	out[0] = '\0';
	if (p)
		place_put(p, out, size);
	/* Names that nobody knows come from strangers, and paths go into headers. */
	for (char *c = out; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == ',')
			*c = '?';
	return out;
}

int place_err(struct err *e, int code, const struct place *p, const char *fmt, ...)
{
	char path[sizeof(e->path)], text[sizeof(e->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(e, code, place_text(p, path, sizeof(path)), "%s", text);
}

/* The value at a dotted path of objects, NULL when some part of it is not there. Borrowed. */
static const json_t *at_path(const json_t *v, const char *path)
{
	while (*path && v) {
		size_t n = strcspn(path, ".");

		v = json_object_getn(v, path, n);
		path += n + (path[n] == '.');
	}
	return v;
}

json_t *field_default(const struct field_desc *f, const json_t *message)
{
	const json_t *from = f->dflt_from ? at_path(message, f->dflt_from) : NULL;

	if (from)
		return json_deep_copy(from);
	if (!f->dflt || f->list)
		return NULL;
	switch (f->type) {
	case FT_BOOL:
		return json_boolean(strcmp(f->dflt, "true") == 0);
	case FT_INT:
		return json_integer(strtoll(f->dflt, NULL, 10));
	case FT_FLOAT:
		return json_real(strtod(f->dflt, NULL));
	case FT_STR:
	case FT_ENUM:
		return json_string(f->dflt);
	case FT_REF: /* a name, resolved when it is read */
	case FT_MSG:
		break;
	}
	return NULL;
}

static bool message_is_default(const struct message_desc *m, const json_t *v)
{
	for (size_t i = 0; i < m->n_fields; i++) {
		const json_t *item = json_object_get(v, m->fields[i].name);

		if (item && !value_is_default(&m->fields[i], item))
			return false;
	}
	return true;
}

bool value_is_default(const struct field_desc *f, const json_t *v)
{
	if (f->list)
		return json_array_size(v) == 0;
	if (f->type == FT_MSG)
		return message_is_default(f->msg, v);
	if (!f->dflt) {
		/* Who sends "" or false for a field without effect means: unset. */
		return json_is_false(v) || (json_is_string(v) && json_string_length(v) == 0);
	}
	switch (f->type) {
	case FT_BOOL:
		return json_is_true(v) == (strcmp(f->dflt, "true") == 0);
	case FT_INT:
		return json_integer_value(v) == strtoll(f->dflt, NULL, 10);
	case FT_FLOAT:
		return json_number_value(v) == strtod(f->dflt, NULL);
	default:
		return json_is_string(v) && strcmp(json_string_value(v), f->dflt) == 0;
	}
}

bool model_is_default(const struct kind_desc *k, const json_t *stored)
{
	static const char *const place[] = { "uuid", "name", "tenant_ref", "cloud_ref" };
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)stored, key, v) {
		const struct field_desc *f = field_find(k->msg, key);
		bool where = false;

		for (size_t i = 0; i < ARRAY_SIZE(place); i++)
			where = where || strcmp(key, place[i]) == 0;
		if (!where && !(f && value_is_default(f, v)))
			return false;
	}
	return true;
}

const char *ref_target(const char *stored)
{
	const char *slash = stored ? strrchr(stored, '/') : NULL;

	return slash ? slash + 1 : stored ? stored : "";
}

/* One address has one text here, however it was written. */
static void key_put_text(const char *s, struct buf *b)
{
	unsigned char raw[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];

	if (inet_pton(AF_INET6, s, raw) == 1 && inet_ntop(AF_INET6, raw, text, sizeof(text)))
		s = text;
	buf_puts(b, s);
}

static void key_put(const struct field_desc *f, const json_t *v, struct buf *b)
{
	if (!v) {
		buf_puts(b, f->special ? "0" : f->dflt ? f->dflt : "");
		return;
	}
	switch (json_typeof(v)) {
	case JSON_STRING:
		if (f->type == FT_REF)
			buf_puts(b, ref_target(json_string_value(v)));
		else
			key_put_text(json_string_value(v), b);
		break;
	case JSON_INTEGER:
		buf_printf(b, "%lld", (long long)json_integer_value(v));
		break;
	case JSON_OBJECT:
		if (f->type != FT_MSG)
			break;
		for (size_t i = 0; i < f->msg->n_fields; i++) {
			key_put(&f->msg->fields[i], json_object_get(v, f->msg->fields[i].name), b);
			buf_puts(b, " ");
		}
		break;
	default:
		break;
	}
}

bool item_key(const struct field_desc *f, const json_t *item, struct buf *b)
{
	bool any = false;

	if (f->type == FT_MSG && json_is_object(item)) {
		for (size_t i = 0; i < f->msg->n_fields; i++) {
			const struct field_desc *k = &f->msg->fields[i];

			if (!(k->flags & F_KEY))
				continue;
			key_put(k, json_object_get(item, k->name), b);
			buf_puts(b, "|");
			any = true;
		}
	}
	if (!any) {
		char *text = json_text(item);

		buf_puts(b, text);
		free(text);
	}
	return any;
}

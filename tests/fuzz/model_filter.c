/*
 * model_filter - a condition of a query: the first byte chooses a kind, the first line is the field
 * with its operator, the second the value, the rest an object as a client would send it.
 *
 * What is refused says which field; what is accepted holds for an object or it does not, and `ne`
 * is never the same as what it denies.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every reference leads somewhere. */
static int resolve(struct model_resolver *r, const char *kind, const char *text, char *uuid,
		   size_t size, struct err *e)
{
	(void)r;
	(void)kind;
	(void)e;
	snprintf(uuid, size, "%.60s", text);
	return 0;
}

static const char *name(struct model_resolver *r, const char *kind, const char *uuid)
{
	(void)r;
	(void)kind;
	return uuid;
}

static char *line_of(const uint8_t **data, size_t *size)
{
	const uint8_t *end = *size ? memchr(*data, '\n', *size) : NULL;
	size_t n = end ? (size_t)(end - *data) : *size;
	char *line = xmalloc(n + 1);

	memcpy(line, *data, n);
	line[n] = '\0';
	*size -= end ? n + 1 : n;
	*data += end ? n + 1 : n;
	return line;
}

static int holds(const struct kind_desc *k, const char *field, const char *value,
		 const json_t *stored, struct model_resolver *r)
{
	struct model_filter *f;
	struct err e = { 0 };
	int rc = model_filter_new(k, field, value, &f, &e);

	if (rc < 0) {
		must(e.code == rc && *e.text);
		return -1;
	}
	rc = model_filter_fits(f, stored, r);
	model_filter_free(f);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model_resolver r = { resolve, name };
	CLEANUP_FREE char *field = NULL, *value = NULL, *denied = NULL;
	CLEANUP_JSON json_t *wire = NULL, *stored = NULL;
	const struct kind_desc *k;
	int yes, no;

	if (size < 2)
		return 0;
	k = model_kinds[data[0] % model_n_kinds];
	data++;
	size--;
	field = line_of(&data, &size);
	value = line_of(&data, &size);
	if (json_read((const char *)data, size, &wire, NULL) < 0)
		wire = json_object();
	if (!json_is_object(wire) || model_read(k, wire, MODEL_ALLOW_LATER, &r, &stored, NULL, NULL) < 0)
		stored = json_object();
	yes = holds(k, field, value, stored, &r);
	denied = xasprintf("%s.ne", field);
	no = holds(k, denied, value, stored, &r);
	/* A secret fits neither. */
	must(yes < 0 || no < 0 || !(yes && no));
	return 0;
}

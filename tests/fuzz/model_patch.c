/*
 * A PATCH on an object of any kind: "KIND\nOBJECT\nPATCH", each on its line. What comes out reads
 * as it is and writes; what is refused says why in one line, and the object is as it was.
 */
#include "base/base.h"
#include "tests/fuzz/any_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void patched_is_whole(const struct kind_desc *k, const json_t *before, const json_t *after)
{
	const struct model_write full = { .base_url = "https://h", .include_name = true };
	CLEANUP_JSON json_t *again = NULL, *out = NULL;
	struct buf paths = BUF_INIT;
	struct err e = { 0 };

	must(model_read(k, after, MODEL_STRICT | MODEL_ALLOW_LATER, &world, &again, NULL, &e) == 0);
	must(json_equal(after, again));
	out = model_write(k, after, &full, &world);
	must(json_is_object(out));
	must(model_diff(k, before, before, NULL) == APPLY_NONE);
	model_diff(k, before, after, &paths);
	model_is_default(k, after);
	buf_fini(&paths);
}

/* The next line of *AT, to its end; NULL: there is none. */
static json_t *next_json(const char **at, const char *end)
{
	const char *line = *at;
	const char *stop = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
	struct err e = { 0 };
	json_t *v = NULL;

	if (!stop)
		stop = end;
	*at = MIN(stop + 1, end);
	return json_read(line, (size_t)(stop - line), &v, &e) == 0 ? v : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *at = (const char *)data, *end = at + len;
	const char *line = memchr(data, '\n', MIN(len, (size_t)40));
	CLEANUP_FREE char *path = line ? xstrndup(at, (size_t)(line - at)) : NULL;
	const struct kind_desc *k = path ? kind_find(path) : NULL;
	CLEANUP_JSON json_t *wire = NULL, *patch = NULL, *stored = NULL, *copy = NULL, *out = NULL;
	struct model_notes notes = MODEL_NOTES_INIT;
	struct err e = { 0 };

	if (!k)
		return 0;
	at = line + 1;
	wire = next_json(&at, end);
	patch = next_json(&at, end);
	if (wire && patch && model_read(k, wire, 0, &world, &stored, NULL, &e) == 0) {
		int rc;

		copy = json_deep_copy(stored);
		rc = model_patch(k, stored, patch, 0, &world, &out, &notes, &e);
		must(json_equal(copy, stored));
		must(rc == 0 || (e.text[0] && !strchr(e.text, '\n')));
		if (rc == 0)
			patched_is_whole(k, stored, out);
	}
	model_notes_fini(&notes);
	return 0;
}

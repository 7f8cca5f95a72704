/*
 * An object as a client sends it: "KIND\nJSON". Whatever is accepted must survive every conversion; whatever is
 * refused must say why in one line.
 */
#include "base/base.h"
#include "tests/fuzz/any_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void accepted(const struct kind_desc *k, const json_t *stored, const json_t *wire)
{
	const struct model_write full = { .base_url = "https://h", .include_name = true };
	CLEANUP_JSON json_t *again = NULL, *out = NULL, *patch = NULL, *patched = NULL;
	struct arena arena = ARENA_INIT;
	struct buf paths = BUF_INIT;
	struct err e = { 0 };

	must(model_read(k, stored, MODEL_STRICT, &world, &again, NULL, &e) == 0);
	must(json_equal(stored, again));
	out = model_write(k, stored, &full, &world);
	must(json_is_object(out));
	must(model_fits(k, stored, &e) == 0);
	must(model_load(k->msg, stored, &arena));
	patch = json_pack("{s:O}", "add", wire);
	must(patch);
	if (model_patch(k, stored, patch, 0, &world, &patched, NULL, &e) == 0)
		model_diff(k, stored, patched, &paths);
	model_later(k, stored, &e);
	buf_fini(&paths);
	arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *line = memchr(data, '\n', MIN(len, (size_t)40));
	CLEANUP_FREE char *path = NULL;
	const struct kind_desc *k;
	json_t *wire = NULL, *stored = NULL;
	struct model_notes notes = MODEL_NOTES_INIT;
	struct arena arena = ARENA_INIT;
	struct err e = { 0 };
	int rc;

	if (!line)
		return 0;
	path = xstrndup((const char *)data, (size_t)(line - data));
	k = kind_find(path);
	if (!k)
		return 0;
	rc = json_read((const char *)line + 1, len - (size_t)(line - data) - 1, &wire, &e);
	if (rc == 0) /* as a peer of another version might send it */
		model_load(k->msg, wire, &arena);
	if (rc == 0)
		rc = model_read(k, wire, 0, &world, &stored, &notes, &e);
	must(rc == 0 || (e.text[0] && !strchr(e.text, '\n')));
	if (rc == 0)
		accepted(k, stored, wire);
	json_decref(wire);
	json_decref(stored);
	model_notes_fini(&notes);
	arena_fini(&arena);
	return 0;
}

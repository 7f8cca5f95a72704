#include "base/json.h"

#include <errno.h>

#include "base/base.h"

/* jansson bounds the depth by a constant of its own (2048), far beyond what any object of ours needs. */
static int check_depth(const char *text, size_t len, struct err *e)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
			continue;
		}
		if (c == '"')
			in_string = true;
		else if ((c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX)
			return err_set(e, -EINVAL, NULL, "JSON is nested deeper than %d levels.", JSON_DEPTH_MAX);
		else if (c == '}' || c == ']')
			depth--;
	}
	return 0;
}

int json_read(const char *text, size_t len, json_t **out, struct err *e)
{
	json_error_t je;
	int rc = check_depth(text, len, e);

	*out = NULL;
	if (rc < 0)
		return rc;
	*out = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (!*out && json_error_code(&je) == json_error_invalid_utf8)
		return err_set(e, -EINVAL, NULL, "Invalid UTF-8 at line %d column %d.", je.line, je.column);
	if (!*out)
		return err_set(e, -EINVAL, NULL, "Malformed JSON at line %d column %d: %s.", je.line, je.column,
			       je.text);
	return 0;
}

char *json_text(const json_t *v)
{
	char *s = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

	must(s);
	return s;
}

void cleanup_json(json_t **v)
{
	json_decref(*v);
}

const char *json_str(const json_t *obj, const char *key, const char *dflt)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s ? s : dflt;
}

json_int_t json_int(const json_t *obj, const char *key, json_int_t dflt)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_integer(v) ? json_integer_value(v) : dflt;
}

bool json_bool(const json_t *obj, const char *key, bool dflt)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_boolean(v) ? json_is_true(v) : dflt;
}

/*
 * shell_line - what is typed, pasted or piped into the shell, over a model whose words are strange too.
 *
 * The first line of the input is the name of a field and a word of an enum, the others are typed one after
 * the other. However they read: levels stay within bounds, a line that is refused changes nothing, what
 * TAB would insert reads back as one word, and nothing that is printed moves a cursor.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "shell/candidates.h"
#include "shell/mode.h"
#include "shell/text.h"
#include "shell/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *field(const char *name, const char *type)
{
	return json_pack("{s:s, s:s, s:s}", "name", name, "type", type, "help", name);
}

static json_t *model_with(const char *name)
{
	json_t *inner = json_array(), *fields = json_array(), *f, *model;

	json_array_append_new(inner, field("addr", "string"));
	json_array_append_new(inner, field(name, "int32"));
	json_array_append_new(fields, field("on", "bool"));
	json_array_append_new(fields, field("n", "int32"));
	f = field("word", "enum");
	json_object_set_new(f, "values", json_pack("[s, s]", name, "WORD_TWO"));
	json_array_append_new(fields, f);
	f = field("list", "string");
	json_object_set_new(f, "list", json_true());
	json_array_append_new(fields, f);
	f = field("days", "enum");
	json_object_set_new(f, "values", json_pack("[s, s]", "DAY_ONE", "DAY_TWO"));
	json_object_set_new(f, "list", json_true());
	json_array_append_new(fields, f);
	f = field("items", "message");
	json_object_set_new(f, "list", json_true());
	json_object_set_new(f, "message", json_string("Inner"));
	json_array_append_new(fields, f);
	f = field("inner", "message");
	json_object_set_new(f, "message", json_string("Thing"));
	json_array_append_new(fields, f);
	json_array_append_new(fields, field(name, "string"));
	model = json_pack("{s:[{s:s, s:s, s:s}], s:{s:{s:o}, s:{s:o}}}", "kinds", "kind", "thing", "message", "Thing", "help",
			  name, "messages", "Thing", "fields", fields, "Inner", "fields", inner);
	must(model);
	return model;
}

static void complete(struct session *s, const char *line)
{
	struct candidates c;

	candidates_of(s, line, &c);
	must(c.begin <= strlen(line));
	for (size_t i = 0; i < c.n; i++) {
		CLEANUP_FREE char *typed = words_quoted(c.list[i].text);
		struct words w;

		words_cut(&w, typed);
		must(w.n == 1 && !w.open && strcmp(w.text[0], c.list[i].text) == 0);
		words_fini(&w);
		for (const char *p = c.list[i].help; p && *p; p++)
			must((unsigned char)*p >= ' ' && *p != 0x7f);
	}
	free(candidates_common(&c));
	candidates_fini(&c);
}

static void type(struct session *s, const char *line)
{
	struct mode *m = &s->mode;
	CLEANUP_JSON json_t *was = json_deep_copy(mode_level(m)->value);
	size_t depth = m->n;
	struct words w;
	struct err e;
	int rc = 0;

	complete(s, line);
	words_cut(&w, line);
	/* "@FILE" would read one. */
	if (w.n && !w.open && !strchr(line, '@')) {
		const char *const *words = (const char *const *)w.text;

		if (!strcmp(words[0], "save"))
			mode_up(m, true);
		else if (!strcmp(words[0], "no"))
			rc = mode_unset(m, words + 1, w.n - 1, &e);
		else
			rc = mode_edit(m, words, w.n, &e);
		must(m->n >= 1 && m->n <= MODE_DEPTH);
		must(rc >= 0 || e.text[0]);
		if (rc < 0 && strcmp(words[0], "no"))
			must(m->n == depth && json_equal(was, mode_level(m)->value));
	}
	words_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *text = xstrndup((const char *)data, size);
	char *rest = text, *line = strsep(&rest, "\n");
	CLEANUP_JSON json_t *name = json_string(line), *model = NULL;
	struct session s = { 0 };

	if (!name || !*line)
		return 0;
	model = model_with(line);
	mode_open(&s.mode, model, json_array_get(json_object_get(model, "kinds"), 0), json_object(), true);
	while ((line = strsep(&rest, "\n")))
		type(&s, line);
	mode_changed(&s.mode);
	json_decref(mode_diff(s.mode.level[0].before, s.mode.level[0].value));
	candidates_forget(&s);
	mode_close(&s.mode);
	return 0;
}

#include "shell/why.h"

#include <unistd.h>

#include "base/base.h"
#include "shell/kinds.h"
#include "shell/objects.h"
#include "shell/text.h"

/* A mark before a line; its colour on a terminal. */
static const struct {
	const char *state, *mark, *colour;
} marks[] = {
	{ "ok", "+", "\033[32m" },
	{ "warning", "!", "\033[33m" },
	{ "broken", "X", "\033[31m" },
	{ "unknown", "?", "\033[2m" },
};

static void show_link(FILE *out, const json_t *link)
{
	const char *state = json_str(link, "state", "unknown");
	CLEANUP_FREE char *name = text_harmless(xstrdup(json_str(link, "link", "")));
	CLEANUP_FREE char *text = text_harmless(xstrdup(json_str(link, "text", "")));
	size_t i = 0;

	while (i < ARRAY_SIZE(marks) - 1 && strcmp(marks[i].state, state))
		i++;
	if (isatty(fileno(out)))
		fprintf(out, "%s%s\033[0m %-10s %s\n", marks[i].colour, marks[i].mark, name, text);
	else
		fprintf(out, "%s %-10s %s\n", marks[i].mark, name, text);
}

int why(struct client *c, FILE *out, bool json, const char *name, bool *broken, struct err *e)
{
	CLEANUP_JSON json_t *object = NULL, *answer = NULL;
	CLEANUP_FREE char *path = NULL, *full = NULL, *verdict = NULL;
	const json_t *model, *kind, *link;
	size_t i;
	int rc = client_model(c, &model, e);

	rc = rc ? rc : kinds_find(model, "virtualservice", &kind, e);
	rc = rc ? rc : objects_find(c, kind, name, "&skip_default=true", &object, e);
	if (rc)
		return rc;
	path = objects_path(c, kind, json_str(object, "uuid", ""));
	full = xasprintf("%s/why", path);
	rc = client_get(c, full, &answer, e);
	if (rc)
		return rc;
	*broken = json_is_string(json_object_get(answer, "broken"));
	if (json) {
		json_dumpf(answer, out, JSON_INDENT(2));
		fputc('\n', out);
		return 0;
	}
	verdict = text_harmless(xstrdup(json_str(answer, "verdict", "")));
	fprintf(out, "%s\n\n", verdict);
	json_array_foreach(json_object_get(answer, "chain"), i, link)
		show_link(out, link);
	return 0;
}

#include "shell/why.h"

#include <unistd.h>

#include "base/base.h"
#include "shell/service.h"
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
	CLEANUP_JSON json_t *answer = NULL;
	CLEANUP_FREE char *verdict = NULL;
	const json_t *link;
	size_t i;
	int rc = service_ask(c, "GET", name, "why", NULL, out, json, &answer, e);

	*broken = json_is_string(json_object_get(answer, "broken"));
	if (rc || json)
		return rc;
	verdict = text_harmless(xstrdup(json_str(answer, "verdict", "")));
	fprintf(out, "%s\n\n", verdict);
	json_array_foreach(json_object_get(answer, "chain"), i, link)
		show_link(out, link);
	return 0;
}

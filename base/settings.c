#include "base/settings.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/base.h"

#define FILE_MAX_BYTES 65536

static char *trimmed(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

int settings_read(char *text, const char *path,
		  int (*f)(void *arg, const char *name, const char *value, struct err *e), void *arg,
		  struct err *e)
{
	int number = 0, rc = 0;
	struct err why;
	char *line;

	while (rc == 0 && (line = strsep(&text, "\n"))) {
		char *name = trimmed(line), *value = strchr(name, '=');

		number++;
		if (!*name || *name == '#')
			continue;
		if (!value)
			return err_set(e, -EINVAL, NULL, "%s line %d: expected name = value.", path,
				       number);
		*value++ = '\0';
		rc = f(arg, trimmed(name), trimmed(value), &why);
		if (rc < 0)
			err_set(e, rc, NULL, "%s line %d: %s", path, number, why.text);
	}
	return rc;
}

/* ---- options ------------------------------------------------------------------ */

struct words {
	const struct argp_option *options;
	char **argv;
	int argc;
};

static void add_word(struct words *w, char *word)
{
	w->argv = xrealloc(w->argv, ((size_t)w->argc + 2) * sizeof(*w->argv));
	w->argv[w->argc++] = word;
	w->argv[w->argc] = NULL;
}

static int take(void *arg, const char *name, const char *value, struct err *e)
{
	struct words *w = arg;

	for (const struct argp_option *o = w->options; o->name || o->key; o++)
		if (o->name && strcmp(o->name, name) == 0 && strcmp(name, "config") != 0) {
			if (*value)
				add_word(w, xasprintf("--%s=%s", name, value));
			return 0;
		}
	return err_set(e, -EINVAL, NULL, "there is no setting '%.40s'.", name);
}

static int give_up(struct words *w, int rc)
{
	for (int i = 1; i < w->argc; i++)
		free(w->argv[i]);
	free(w->argv);
	return rc;
}

/* The file that the word at I names; *WORDS: how many words that takes. NULL: it names none. */
static const char *named_file(int argc, char **argv, int i, int *words)
{
	static const char name[] = "--config";

	*words = 1;
	if (strncmp(argv[i], name, sizeof(name) - 1) != 0)
		return NULL;
	if (argv[i][sizeof(name) - 1] == '=')
		return argv[i] + sizeof(name);
	if (argv[i][sizeof(name) - 1] || i + 1 == argc)
		return NULL;
	*words = 2;
	return argv[i + 1];
}

int settings_expand(const struct argp_option *options, int *argc, char ***argv, struct err *e)
{
	static char **volatile kept __attribute__((unused)); /* they are the program's words until it ends, and no leak */
	struct words w = { .options = options };
	int words;

	add_word(&w, (*argv)[0]);
	for (int i = 1; i < *argc; i += words) {
		const char *path = named_file(*argc, *argv, i, &words);
		CLEANUP_FREE char *text = NULL;
		int rc;

		if (!path)
			continue;
		rc = file_read(path, FILE_MAX_BYTES, &text, NULL);
		if (rc < 0)
			return give_up(&w, err_set(e, rc, NULL, "Cannot read %s: %s.", path,
						   strerror(-rc)));
		rc = settings_read(text, path, take, &w, e);
		if (rc < 0)
			return give_up(&w, rc);
	}
	for (int i = 1; i < *argc; i += words)
		if (!named_file(*argc, *argv, i, &words))
			add_word(&w, (*argv)[i]);
	*argc = w.argc;
	*argv = w.argv;
	kept = w.argv;
	return 0;
}

#include "shell/script.h"

#include <errno.h>

#include "base/base.h"

struct script {
	FILE *file;
	const char *name;
	char *line;
	size_t size, number;
};

/* Without its end; NULL: there is none. Borrowed, until the next one. */
static char *read_line(struct script *f)
{
	char *line;

	if (getline(&f->line, &f->size, f->file) < 0)
		return NULL;
	f->line[strcspn(f->line, "\r\n")] = '\0';
	/* Some editors begin a file so. */
	line = f->line + (!f->number && !strncmp(f->line, "\xef\xbb\xbf", 3) ? 3 : 0);
	f->number++;
	return line;
}

static char *next(void *arg)
{
	char *line = read_line(arg);

	return line ? xstrdup(line) : NULL;
}

static int run_line(struct session *s, const char *line, const struct script *f, struct err *e)
{
	CLEANUP_FREE char *typed = xstrdup(line);
	size_t number = f->number;
	struct err why;
	int rc = session_line(s, typed, &why);

	if (rc < 0)
		return err_set(e, rc, NULL, "%.200s:%zu: %s", f->name, number, err_line(&why));
	return rc;
}

int script_run(struct session *s, const char *file, struct err *e)
{
	bool standard = !file || !strcmp(file, "-");
	struct script f = { .file = standard ? stdin : fopen(file, "re"), .name = standard ? "(standard input)" : file };
	const char *line;
	int rc = 0;

	if (!f.file)
		return err_set(e, -EINVAL, NULL, "%s cannot be read: %s.", file, strerror(errno));
	s->next = next;
	s->arg = &f;
	while (rc >= 0 && !s->ended && (line = read_line(&f)))
		rc = run_line(s, line, &f, e);
	if (rc >= 0 && ferror(f.file))
		rc = err_set(e, -EIO, NULL, "%s cannot be read.", f.name);
	if (rc >= 0 && s->mode.n && mode_changed(&s->mode))
		rc = err_set(e, -EINVAL, NULL, "%.200s:%zu: the last object was not saved.", f.name, f.number);
	s->next = NULL;
	s->arg = NULL;
	free(f.line);
	if (!standard)
		fclose(f.file);
	return rc;
}

#include "shell/script.h"

#include <errno.h>

#include "base/base.h"

static int run_line(struct session *s, char *line, const char *name, size_t number, struct err *e)
{
	struct err why;
	int rc;

	line[strcspn(line, "\r\n")] = '\0';
	rc = session_line(s, line, &why);
	if (rc < 0)
		return err_set(e, rc, NULL, "%.200s:%zu: %s", name, number, err_line(&why));
	return rc;
}

int script_run(struct session *s, const char *file, struct err *e)
{
	bool standard = !file || !strcmp(file, "-");
	const char *name = standard ? "(standard input)" : file;
	FILE *f = standard ? stdin : fopen(file, "re");
	CLEANUP_FREE char *line = NULL;
	size_t size = 0, number = 0;
	int rc = 0;

	if (!f)
		return err_set(e, -EINVAL, NULL, "%s cannot be read: %s.", file, strerror(errno));
	while (rc >= 0 && !s->ended && getline(&line, &size, f) >= 0) {
		/* Some editors begin a file so. */
		bool marked = !number && !strncmp(line, "\xef\xbb\xbf", 3);

		rc = run_line(s, line + (marked ? 3 : 0), name, ++number, e);
	}
	if (rc >= 0 && ferror(f))
		rc = err_set(e, -EIO, NULL, "%s cannot be read.", name);
	if (rc >= 0 && s->mode.n && mode_changed(&s->mode))
		rc = err_set(e, -EINVAL, NULL, "%.200s:%zu: the last object was not saved.", name, number);
	if (!standard)
		fclose(f);
	return rc;
}

#include "shell/captures.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "shell/objects.h"
#include "shell/show.h"
#include "shell/text.h"

int captures_download(struct session *s, const char *path, const char *file, struct err *e)
{
	CLEANUP_FREE char *beside = xasprintf("%s.part-%d", file, (int)getpid());
	int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f)
		return err_set(e, -EINVAL, NULL, "%s cannot be written: %s.", file, strerror(errno));
	rc = client_download(s->client, path, f, e);
	if (fclose(f) && !rc)
		rc = err_set(e, -EIO, NULL, "%s cannot be written: %s.", file, strerror(errno));
	if (!rc && rename(beside, file))
		rc = err_set(e, -EIO, NULL, "%s cannot be written: %s.", file, strerror(errno));
	if (rc)
		unlink(beside);
	return rc;
}

/* The newest that is complete; NULL: none. */
static const json_t *newest(const json_t *captures)
{
	const json_t *c, *found = NULL;
	size_t i;

	json_array_foreach((json_t *)captures, i, c)
		if (!json_bool(c, "running", false) &&
		    (!found || strcmp(json_str(c, "ended", ""), json_str(found, "ended", "")) > 0))
			found = c;
	return found;
}

char *captures_file_name(const char *name)
{
	char *s = text_harmless(xstrdup(*name ? name : "capture.pcapng"));

	for (char *p = s; *p; p++)
		if (*p == '/' || (p == s && *p == '.'))
			*p = '_';
	return s;
}

static int download(struct session *s, const json_t *capture, const char *directory, struct err *e)
{
	CLEANUP_FREE char *path = xasprintf("/api/capture/%s/file", json_str(capture, "uuid", ""));
	CLEANUP_FREE char *name = captures_file_name(json_str(capture, "file_name", ""));
	CLEANUP_FREE char *file = NULL;
	size_t len = strlen(directory);
	struct stat st;
	int rc;

	if (stat(directory, &st) || !S_ISDIR(st.st_mode))
		return err_set(e, -EINVAL, NULL, "%s is no directory.", directory);
	while (len > 1 && directory[len - 1] == '/')
		len--;
	file = xasprintf("%.*s%s%s", (int)len, directory, len == 1 && *directory == '/' ? "" : "/", name);
	rc = captures_download(s, path, file, e);
	if (!rc)
		fprintf(s->out, "Downloaded the attachment to %s\n", file);
	return rc;
}

/* How far one is that runs; what is not known yet is left out. */
static void put_progress(struct session *s, json_t *capture)
{
	CLEANUP_FREE char *path = xasprintf("/api/capture/%s/runtime", json_str(capture, "uuid", ""));
	CLEANUP_JSON json_t *now = NULL;
	struct err ignored;

	if (json_bool(capture, "running", false) && !client_get(s->client, path, &now, &ignored))
		json_object_update_new(capture, json_incref(now));
}

int captures_show(struct session *s, const json_t *kind, const char *name, const char *directory, struct err *e)
{
	CLEANUP_JSON json_t *all = NULL, *mine = json_array(), *owner = NULL, *rows = NULL;
	CLEANUP_FREE char *asked = NULL, *ref = xasprintf("%s_ref", json_str(kind, "kind", ""));
	const json_t *c, *complete;
	const char *uuid;
	size_t i;
	int rc = objects_find(s->client, kind, name, "&skip_default=true", &owner, e);

	rc = rc ? rc : objects_all(s->client, "/api/capture", "", &all, e);
	if (rc)
		return rc;
	uuid = json_str(owner, "uuid", "");
	json_array_foreach(all, i, c)
		if (strstr(json_str(c, ref, ""), uuid)) {
			put_progress(s, (json_t *)c);
			json_array_append(mine, (json_t *)c);
		}
	complete = newest(mine);
	if (s->json) {
		json_dumpf(mine, s->out, JSON_INDENT(2));
		fputc('\n', s->out);
		return 0;
	}
	if (!json_array_size(mine)) {
		fputs("There is no capture of it.\n", s->out);
		return 0;
	}
	/* One that is complete is what was asked for; else it is told how far they are. */
	if (json_array_size(mine) > 1 || !complete || (!directory && !s->ask)) {
		static const char *const columns[] = { "file_name", "running", "started", "ended", "ended_by",
						       "packets", "drops", "size", "seconds_left" };

		rows = json_array();
		json_array_foreach(mine, i, c) {
			json_t *row = json_object();

			for (size_t j = 0; j < ARRAY_SIZE(columns); j++)
				if (json_object_get(c, columns[j]))
					json_object_set(row, columns[j], json_object_get(c, columns[j]));
			json_array_append_new(rows, row);
		}
		show_tree(s->out, rows);
		fflush(s->out);
	}
	if (!complete || (!directory && !s->ask))
		return 0;
	if (!directory) {
		asked = s->ask(s->arg, "Please specify the destination directory: ", false);
		if (!asked || !*asked)
			return err_set(e, -EINTR, NULL, "Nothing was downloaded.");
	}
	return download(s, complete, directory ? directory : asked, e);
}

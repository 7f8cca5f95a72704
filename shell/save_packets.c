#include "shell/save_packets.h"

#include <errno.h>
#include <unistd.h>

#include "base/base.h"
#include "shell/captures.h"
#include "shell/client.h"
#include "shell/service.h"
#include "shell/text.h"

struct wanted {
	const char *service, *file; /* FILE NULL: it is called as the capture is */
	json_t *body;
};

static int number(const char *text, const char *field, json_t *body, struct err *e)
{
	char *end;
	long long n = strtoll(text, &end, 10);

	if (!*text || *end)
		return err_set(e, -EINVAL, NULL, "--seconds needs a number.");
	json_object_set_new(body, field, json_integer(n));
	return 0;
}

static int parse(const char *const *words, size_t n, struct wanted *w, struct err *e)
{
	static const struct {
		const char *option, *field;
	} options[] = { { "--seconds", "seconds" }, { "--request", "request_id" }, { "--reason", "reason" }, { "-w", NULL } };

	for (size_t i = 0; i < n; i++) {
		size_t at = 0;

		while (at < ARRAY_SIZE(options) && strcmp(words[i], options[at].option) != 0)
			at++;
		if (at == ARRAY_SIZE(options) && (words[i][0] == '-' || w->service))
			return err_set(e, -EINVAL, NULL, "save packets does not know '%s': SERVICE [--seconds N] [--request ID] [--reason TEXT] [-w FILE].",
				       words[i]);
		if (at == ARRAY_SIZE(options)) {
			w->service = words[i];
			continue;
		}
		if (++i == n)
			return err_set(e, -EINVAL, NULL, "%s needs a value.", options[at].option);
		if (!options[at].field)
			w->file = words[i];
		else if (at == 0 && number(words[i], options[at].field, w->body, e) < 0)
			return e->code;
		else if (at > 0 && json_object_set_new(w->body, options[at].field, json_string(words[i])) < 0)
			return err_set(e, -EINVAL, NULL, "%s: it is not UTF-8.", options[at].option);
	}
	return w->service ? 0 : err_set(e, -EINVAL, NULL, "save packets needs the name of a virtual service.");
}

/* Not onto a terminal: packets are bytes. */
static int fetch(struct session *s, const json_t *saved, const char *file, struct err *e)
{
	CLEANUP_FREE char *path = xasprintf("/api/capture/%s/file", json_str(saved, "uuid", ""));
	CLEANUP_FREE char *name = captures_file_name(json_str(saved, "file_name", ""));

	if (file && strcmp(file, "-") == 0)
		return client_download(s->client, path, s->out, e);
	return captures_download(s, path, file ? file : name, e);
}

static void tell(FILE *out, const json_t *saved, const char *file)
{
	CLEANUP_FREE char *name = captures_file_name(json_str(saved, "file_name", ""));
	double held = json_number_value(json_object_get(saved, "seconds_held"));

	fprintf(out, "%lld packets, of the last %.1f s all%s; %lld dropped%s%s\n", (long long)json_int(saved, "packets", 0), held,
		held + 1 < (double)json_int(saved, "seconds", 0) ? " (the recorders go back no further)" : "",
		(long long)json_int(saved, "drops", 0), file && strcmp(file, "-") == 0 ? "" : "; in ",
		!file ? name : strcmp(file, "-") == 0 ? "" : file);
	if (json_object_get(saved, "plaintext_seconds_held"))
		fprintf(out, "%lld of them are what was said inside TLS, of the last %.1f s\n", (long long)json_int(saved, "plaintext_packets", 0),
			json_number_value(json_object_get(saved, "plaintext_seconds_held")));
	if (json_object_get(saved, "plaintext"))
		fprintf(out, "%s\n", json_str(saved, "plaintext", ""));
}

int save_packets(struct session *s, const char *const *words, size_t n, struct err *e)
{
	struct wanted w = { .body = json_object() };
	CLEANUP_JSON json_t *body = w.body, *saved = NULL;
	int rc = parse(words, n, &w, e);

	if (!rc && w.file && strcmp(w.file, "-") == 0 && isatty(fileno(s->out)))
		rc = err_set(e, -EINVAL, NULL, "Packets are not written to a terminal: -w FILE, or a pipe behind -w -.");
	rc = rc ? rc : service_ask(s->client, "POST", w.service, "save-packets", body, s->out, s->json, &saved, e);
	rc = rc || s->json ? rc : fetch(s, saved, w.file, e);
	if (!rc && !s->json)
		tell(w.file && strcmp(w.file, "-") == 0 ? stderr : s->out, saved, w.file);
	return rc;
}

#include "shell/clone_test.h"

#include "base/base.h"
#include "shell/service.h"
#include "shell/text.h"

/* A member as text that a terminal may have. Caller frees. */
static char *word(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return text_harmless(v && !json_is_null(v) ? text_of(v) : xstrdup(""));
}

static void show_server(FILE *out, const json_t *line)
{
	CLEANUP_FREE char *name = word(line, json_object_get(line, "ip") ? "ip" : "mac");
	CLEANUP_FREE char *text = word(line, "text"), *interface = word(line, "interface");
	CLEANUP_FREE char *from = word(line, "source_mac"), *to = word(line, "destination_mac");
	CLEANUP_FREE char *client = word(line, "client"), *client_port = word(line, "client_port");
	CLEANUP_FREE char *server = word(line, "server"), *server_port = word(line, "server_port");
	CLEANUP_FREE char *encap = word(line, "encapsulation"), *filter = word(line, "filter");
	bool wrapped = strcmp(encap, "CLONE_ENCAP_NONE") != 0;

	fprintf(out, "%s clone server %s: %s\n", json_bool(line, "ready", false) ? "+" : "X", name, text);
	if (!json_bool(line, "ready", false))
		return;
	fprintf(out, "    by %s, from MAC %s to MAC %s%s%s\n", interface, from, to, wrapped ? ", in " : "",
		wrapped ? encap : "");
	fprintf(out, "    %s port %s to %s port %s, and back\n", client, client_port, server, server_port);
	fprintf(out, "    there: tcpdump -n -i IFACE '%s'\n", filter);
}

static void show_engine(FILE *out, const json_t *engine)
{
	CLEANUP_FREE char *name = word(engine, "se_name"), *error = word(engine, "error");
	const json_t *line;
	size_t i;

	fprintf(out, "service engine %s:%s%s\n", name, *error ? " " : "", error);
	json_array_foreach(json_object_get(engine, "clone_servers"), i, line)
		show_server(out, line);
}

int clone_test(struct client *c, FILE *out, bool json, const char *name, bool *complete, struct err *e)
{
	CLEANUP_JSON json_t *answer = NULL;
	CLEANUP_FREE char *text = NULL, *service = NULL;
	const json_t *engine;
	size_t i;
	int rc = service_ask(c, "POST", name, "clone-test", NULL, out, json, &answer, e);

	*complete = json_bool(answer, "complete", false);
	if (rc || json)
		return rc;
	text = word(answer, "looks_for");
	service = word(answer, "virtualservice");
	fprintf(out, "%s: %lld of %lld frames were sent. An IDS should report \"%s\".\n\n", service,
		(long long)json_int(answer, "sent", 0), (long long)json_int(answer, "frames", 0), text);
	json_array_foreach(json_object_get(answer, "engines"), i, engine)
		show_engine(out, engine);
	return 0;
}

/*
 * spanwire - the shell: a REST client and nothing else.
 *
 * Exit status: 0 done; 1 the controller refused, or there is no such thing; 2 it could not be
 * asked.
 */
#include <argp.h>
#include <errno.h>
#include <locale.h>

#include "base/base.h"
#include "shell/client.h"
#include "shell/credentials.h"
#include "shell/show.h"
#include "shell/text.h"

const char *argp_program_version = "spanwire " SPANWIRE_VERSION;

static const char args_doc[] = "show [KIND [NAME [VIEW]]]";

static const char doc[] =
	"Ask a Spanwire controller."
	"\v"
	"Without KIND all kinds are listed; KIND may be shortened as long as one kind is meant. "
	"NAME is a name or a uuid. VIEW is a sub-resource: "
	"`spanwire show virtualservice shop runtime`.\n"
	"\n"
	"Who asks, and whom, comes from the environment: SPANWIRE_CONTROLLER, "
	"SPANWIRE_USER (admin), SPANWIRE_PASSWORD_FILE or SPANWIRE_PASSWORD, "
	"SPANWIRE_TENANT (admin), SPANWIRE_CA; or from ~/.config/spanwire/credentials "
	"(mode 0600) with lines such as `controller = https://192.0.2.1:9443`, `user`, "
	"`password`, `password_file`, `tenant`, `ca`.\n"
	"\n"
	"Exit status: 0 done; 1 the controller refused, or there is no such thing; "
	"2 it could not be asked.";

enum {
	OPTION_CONTROLLER = 256,
	OPTION_USER,
	OPTION_TENANT,
	OPTION_CA,
	OPTION_INSECURE,
	OPTION_JSON,
	OPTION_ALL
};

static const struct argp_option options[] = {
	{ "controller", OPTION_CONTROLLER, "URL", 0, "The controller's address", 0 },
	{ "user", OPTION_USER, "NAME", 0, "Who asks", 0 },
	{ "tenant", OPTION_TENANT, "NAME", 0, "In which tenant; * is all", 0 },
	{ "ca", OPTION_CA, "FILE", 0, "Certificates to trust", 0 },
	{ "insecure", OPTION_INSECURE, NULL, 0, "Do not check the controller's certificate", 0 },
	{ "json", OPTION_JSON, NULL, 0, "Print what the controller answered", 0 },
	{ "all", OPTION_ALL, NULL, 0, "Of an object also the defaults", 0 },
	{ 0 },
};

struct command_line {
	struct credentials credentials;
	const char *words[4];
	int n_words;
	bool json, all;
};

static void replace(char **at, const char *value)
{
	free(*at);
	*at = xstrdup(value);
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct command_line *c = state->input;

	switch (key) {
	case OPTION_CONTROLLER:
		replace(&c->credentials.controller, arg);
		return 0;
	case OPTION_USER:
		replace(&c->credentials.user, arg);
		return 0;
	case OPTION_TENANT:
		replace(&c->credentials.tenant, arg);
		return 0;
	case OPTION_CA:
		replace(&c->credentials.ca, arg);
		return 0;
	case OPTION_INSECURE:
		c->credentials.insecure = true;
		return 0;
	case OPTION_JSON:
		c->json = true;
		return 0;
	case OPTION_ALL:
		c->all = true;
		return 0;
	case ARGP_KEY_ARG:
		if (c->n_words == (int)ARRAY_SIZE(c->words))
			argp_error(state, "too many words: %s", arg);
		if (!*arg)
			argp_error(state, "a word is empty");
		c->words[c->n_words++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!c->n_words)
			argp_error(state, "what shall be done? try `spanwire show`");
		if (strcmp(c->words[0], "show"))
			argp_error(state, "there is no command '%s', only show", c->words[0]);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* What the controller said no to is 1; what kept us from asking is 2. */
static int run(struct command_line *c, struct err *e)
{
	struct show s = { .out = stdout, .json = c->json, .all = c->all };
	int rc;

	if (credentials_complete(&c->credentials, e))
		return 2;
	rc = client_open(&c->credentials, &s.client, e);
	if (!rc)
		rc = show(&s, c->words[1], c->words[2], c->words[3], e);
	client_close(s.client);
	if (!rc && (fflush(stdout) || ferror(stdout)))
		rc = err_set(e, -EIO, NULL, "Cannot write the answer.");
	return rc == 0 ? 0 : rc == -ENOENT || rc == -EREMOTEIO ? 1 : 2;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { options, parse_one, args_doc, doc, NULL, NULL, NULL };
	struct command_line c = { 0 };
	struct err e = { 0 };
	int status;

	setlocale(LC_ALL, "");
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &c);
	status = run(&c, &e);
	if (status) {
		text_harmless(e.text);
		fprintf(stderr, "spanwire: %s\n", err_line(&e));
	}
	credentials_fini(&c.credentials);
	return status;
}

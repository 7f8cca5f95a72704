/*
 * spanwire - the shell: a REST client and nothing else.
 *
 * Exit status: 0 done; 1 the controller refused, there is no such thing, or a link is broken (why);
 * 2 it could not be asked.
 */
#include <argp.h>
#include <errno.h>
#include <locale.h>

#include "base/base.h"
#include "shell/client.h"
#include "shell/configure.h"
#include "shell/credentials.h"
#include "shell/show.h"
#include "shell/text.h"
#include "shell/why.h"

const char *argp_program_version = "spanwire " SPANWIRE_VERSION;

struct command_line;

/* Negative errno, or what main() exits with. */
typedef int command(struct command_line *c, struct client *client, struct err *e);

static command do_show, do_configure, do_delete, do_why;

/* What can be done; MIN and MAX count the words behind the command. */
static const struct {
	const char *name;
	command *run;
	size_t min, max;
} commands[] = {
	{ "show", do_show, 0, 3 },
	{ "configure", do_configure, 2, SIZE_MAX },
	{ "delete", do_delete, 2, 2 },
	{ "why", do_why, 1, 1 },
};

static const char args_doc[] = "show [KIND [NAME [VIEW]]]\n"
			       "configure KIND NAME [FIELD VALUE | no FIELD]...\n"
			       "delete KIND NAME\n"
			       "why VIRTUALSERVICE";

static const char doc[] =
	"Ask a Spanwire controller, and tell it what is wanted."
	"\v"
	"Without KIND all kinds are listed; KIND may be shortened as long as one kind is meant. "
	"NAME is a name or a uuid. VIEW is a sub-resource: "
	"`spanwire show virtualservice shop runtime`.\n"
	"\n"
	"`configure` makes the object when there is none of that name. "
	"FIELD may lead into the object: servers.1.port, 'servers[10.0.0.5:80].enabled'. "
	"VALUE is what `show` prints: round_robin, web-pool, 10.0.0.5:80,10.0.0.6:80; with + before "
	"it, added to a list; JSON, when it begins with a brace; @FILE is what is in that file.\n"
	"\n"
	"`why` says whether a virtual service answers, and what keeps it from it.\n"
	"\n"
	"Who asks, and whom, comes from the environment: SPANWIRE_CONTROLLER, "
	"SPANWIRE_USER (admin), SPANWIRE_PASSWORD_FILE or SPANWIRE_PASSWORD, "
	"SPANWIRE_TENANT (admin), SPANWIRE_CA; or from ~/.config/spanwire/credentials "
	"(mode 0600) with lines such as `controller = https://192.0.2.1:9443`, `user`, "
	"`password`, `password_file`, `tenant`, `ca`.\n"
	"\n"
	"Exit status: 0 done; 1 the controller refused, there is no such thing, or (why) a link is "
	"broken; 2 it could not be asked.";

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
	const char **words; /* the command first */
	size_t n_words;
	size_t command; /* in commands[] */
	bool json, all;
};

static void replace(char **at, const char *value)
{
	free(*at);
	*at = xstrdup(value);
}

static void find_command(struct command_line *c, struct argp_state *state, const char *word)
{
	for (c->command = 0; c->command < ARRAY_SIZE(commands); c->command++)
		if (!strcmp(commands[c->command].name, word))
			return;
	argp_error(state, "there is no command '%s'; see --help", word);
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
		if (!*arg)
			argp_error(state, "a word is empty");
		if (c->n_words == 0)
			find_command(c, state, arg);
		c->words[c->n_words++] = arg;
		/* From here on they are fields and values, "-1" too. */
		if (commands[c->command].run == do_configure && c->n_words == 3)
			while (state->next < state->argc)
				c->words[c->n_words++] = state->argv[state->next++];
		return 0;
	case ARGP_KEY_END:
		if (!c->n_words)
			argp_error(state, "what shall be done? try `spanwire show`");
		if (c->n_words - 1 < commands[c->command].min)
			argp_error(state, "%s needs more words", c->words[0]);
		if (c->n_words - 1 > commands[c->command].max)
			argp_error(state, "too many words: %s", c->words[c->n_words - 1]);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int do_show(struct command_line *c, struct client *client, struct err *e)
{
	struct show s = { .client = client, .out = stdout, .json = c->json, .all = c->all };

	return show(&s, c->words[1], c->words[2], c->words[3], e);
}

static int do_configure(struct command_line *c, struct client *client, struct err *e)
{
	struct configure f = { .client = client, .out = stdout, .warn = stderr, .json = c->json };

	return configure(&f, c->words[1], c->words[2], c->words + 3, c->n_words - 3, e);
}

static int do_delete(struct command_line *c, struct client *client, struct err *e)
{
	struct configure f = { .client = client, .out = stdout, .warn = stderr, .json = c->json };

	return configure_delete(&f, c->words[1], c->words[2], e);
}

static int do_why(struct command_line *c, struct client *client, struct err *e)
{
	bool broken = false;
	int rc = why(client, stdout, c->json, c->words[1], &broken, e);

	return rc ? rc : broken;
}

/* What the controller said no to is 1; what kept us from asking is 2. */
static int run(struct command_line *c, struct err *e)
{
	struct client *client = NULL;
	int rc;

	if (credentials_complete(&c->credentials, e))
		return 2;
	rc = client_open(&c->credentials, &client, e);
	if (!rc)
		rc = commands[c->command].run(c, client, e);
	client_close(client);
	if (rc >= 0 && (fflush(stdout) || ferror(stdout)))
		rc = err_set(e, -EIO, NULL, "Cannot write the answer.");
	return rc >= 0 ? rc : rc == -ENOENT || rc == -EREMOTEIO ? 1 : 2;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { options, parse_one, args_doc, doc, NULL, NULL, NULL };
	struct command_line c = { 0 };
	struct err e = { 0 };
	int status;

	setlocale(LC_ALL, "");
	argp_err_exit_status = 2;
	/* NULLs behind the last word: what is left out. */
	c.words = xcalloc((size_t)argc + 4, sizeof(*c.words));
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &c);
	status = run(&c, &e);
	if (status && e.code) {
		text_harmless(e.text);
		fprintf(stderr, "spanwire: %s\n", err_line(&e));
	}
	free(c.words);
	credentials_fini(&c.credentials);
	return status;
}

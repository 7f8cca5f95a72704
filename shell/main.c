/*
 * spanwire - the shell: a REST client and nothing else.
 *
 * Exit status: 0 done; 1 the controller refused, there is no such thing, or a link is broken (why);
 * 2 it could not be asked.
 */
#include <argp.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <unistd.h>

#include "base/base.h"
#include "shell/candidates.h"
#include "shell/commands.h"
#include "shell/credentials.h"
#include "shell/editor.h"
#include "shell/grid.h"
#include "shell/script.h"
#include "shell/text.h"
#include "shell/token.h"

const char *argp_program_version = "spanwire " SPANWIRE_VERSION;

static const char args_doc[] = "[COMMAND...]";

static const char doc[] =
	"Ask a Spanwire controller, and tell it what is wanted."
	"\v"
	"Without COMMAND it is a shell: TAB completes, ? says what may follow. From a pipe, or with --file, lines are "
	"read and no question is asked; the first one that fails ends it.\n"
	"\n"
	"`spanwire help` lists the commands: show, configure, delete, debug, why and more. KIND may be shortened as "
	"long as one kind is meant. NAME is a name or a uuid. VIEW is a sub-resource: "
	"`spanwire show virtualservice shop runtime`.\n"
	"\n"
	"`configure` makes the object when there is none of that name. "
	"FIELD may lead into the object: servers.1.port, 'servers[10.0.0.5:80].enabled'. "
	"VALUE is what `show` prints: round_robin, web-pool, 10.0.0.5:80,10.0.0.6:80; with + before "
	"it, added to a list; JSON, when it begins with a brace; @FILE is what is in that file.\n"
	"\n"
	"`capture` takes addresses whose connections are wanted (10.1.1.1 10.1.1.0/24 10.1.1.1-10.1.1.9), or what tcpdump "
	"takes: `spanwire capture shop -w - | wireshark -k -i -`.\n"
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
	OPTION_ALL,
	OPTION_CANDIDATES,
	OPTION_REFERENCE
};

static const struct argp_option options[] = {
	{ "controller", OPTION_CONTROLLER, "URL", 0, "The controller's address", 0 },
	{ "user", OPTION_USER, "NAME", 0, "Who asks", 0 },
	{ "tenant", OPTION_TENANT, "NAME", 0, "In which tenant; * is all", 0 },
	{ "ca", OPTION_CA, "FILE", 0, "Certificates to trust", 0 },
	{ "insecure", OPTION_INSECURE, NULL, 0, "Do not check the controller's certificate", 0 },
	{ "json", OPTION_JSON, NULL, 0, "Print what the controller answered", 0 },
	{ "all", OPTION_ALL, NULL, 0, "Of an object also the defaults", 0 },
	{ "file", 'f', "FILE", 0, "Run the lines of a file", 0 },
	{ "candidates", OPTION_CANDIDATES, "LINE", OPTION_HIDDEN, "What may follow LINE", 0 },
	{ "reference", OPTION_REFERENCE, NULL, OPTION_HIDDEN, "The commands, for the manual", 0 },
	{ 0 },
};

struct command_line {
	struct credentials credentials;
	const char **words; /* the command first */
	size_t n_words;
	const char *file, *candidates;
	bool json, all, reference;
	bool asks;  /* somebody sits there, for longer than a command */
	bool typed; /* the password was */
};

static void replace(char **at, const char *value)
{
	free(*at);
	*at = xstrdup(value);
}

static bool takes_fields(const char *const *words)
{
	struct err e;
	size_t used;
	const struct command *c = session_command(NULL, words, 1, &used, &e);

	return c && (c->run == do_configure || c->run == do_debug);
}

/* LINE without its first word and the options before the command. */
static const char *after_options(const char *line)
{
	line += strcspn(line, " ");
	for (;;) {
		const struct argp_option *o = options;
		size_t len;

		line += strspn(line, " ");
		if (*line != '-')
			return line;
		len = strcspn(line, " =");
		for (; o->name; o++)
			if (len > 2 && strlen(o->name) == len - 2 && !strncmp(o->name, line + 2, len - 2))
				break;
		line += strcspn(line, " ");
		if (o->name && o->arg && line[len] != '=') {
			line += strspn(line, " ");
			line += strcspn(line, " ");
		}
	}
}

/* A command whose own options follow. */
static bool has_options(const struct command_line *c)
{
	size_t used;
	struct err e = { 0 };
	const struct command *cmd = session_command(NULL, c->words, c->n_words, &used, &e);

	return cmd && used == c->n_words && strstr(cmd->words, "[--");
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
	case 'f':
		c->file = arg;
		return 0;
	case OPTION_CANDIDATES:
		c->candidates = arg;
		return 0;
	case OPTION_REFERENCE:
		c->reference = true;
		return 0;
	case ARGP_KEY_ARG:
		if (!*arg)
			argp_error(state, "a word is empty");
		c->words[c->n_words++] = arg;
		/* From here on they are fields and values, "-1" too. */
		if ((c->n_words == 3 && takes_fields(c->words)) || has_options(c))
			while (state->next < state->argc)
				c->words[c->n_words++] = state->argv[state->next++];
		return 0;
	case ARGP_KEY_END:
		if (c->n_words && c->file)
			argp_error(state, "a command and --file are two things");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = { options, parse_one, args_doc, doc, NULL, NULL, NULL };

/* What needs no controller. */
static bool stands_alone(const struct command_line *c, struct err *e)
{
	size_t used;
	const struct command *cmd = c->n_words ? session_command(NULL, c->words, c->n_words, &used, e) : NULL;

	return cmd && (cmd->run == do_completion || cmd->run == do_help);
}

/* Asks for what is missing, where somebody can answer. */
static int complete_login(struct command_line *c, struct err *e)
{
	int rc = credentials_complete(&c->credentials, e);
	CLEANUP_FREE char *question = NULL;

	if (rc != -ENOKEY || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return rc;
	question = credentials_question(&c->credentials);
	c->credentials.password = editor_ask(NULL, question, true);
	c->typed = c->credentials.password != NULL;
	return c->typed ? 0 : rc;
}

static int open_session(struct command_line *c, struct session *s, struct err *e)
{
	bool kept;
	int rc = complete_login(c, e);

	if (rc)
		return 2;
	kept = c->credentials.token && !c->credentials.password;
	rc = client_open(&c->credentials, &s->client, e);
	if (rc == -EACCES && kept) {
		/* It is older than a day. */
		token_drop(NULL, &c->credentials, &(struct err){ 0 });
		free(c->credentials.token);
		c->credentials.token = NULL;
		rc = complete_login(c, e);
		if (rc)
			return 2;
		rc = client_open(&c->credentials, &s->client, e);
	}
	if (!rc && c->typed && c->asks)
		token_make(s->client, &c->credentials, stderr, &(struct err){ 0 });
	return rc;
}

/* Words of the line that follow the program's name and its options; words of options for "-". */
static int print_candidates(struct command_line *c, struct session *s, struct err *e)
{
	const char *line = c->candidates, *word = strrchr(line, ' ');
	struct candidates found;

	if (word && word[1] == '-') {
		for (const struct argp_option *o = options; o->name; o++)
			if (!(o->flags & OPTION_HIDDEN) && !strncmp(o->name, word + (word[2] ? 3 : 2), strlen(word + (word[2] ? 3 : 2))))
				printf("--%s\n", o->name);
		fputs("--help\n--version\n", stdout);
		return 0;
	}
	if (open_session(c, s, e))
		return 2;
	line = after_options(line);
	candidates_of(s, line, &found);
	for (size_t i = 0; i < found.n; i++)
		printf("%s\n", found.list[i].text);
	candidates_fini(&found);
	return 0;
}

/* What the controller said no to is 1; what kept us from asking is 2. */
static int status_of(int rc)
{
	return rc >= 0 ? rc : rc == -ENOENT || rc == -EREMOTEIO || rc == -EACCES ? 1 : 2;
}

static int run(struct command_line *c, struct err *e)
{
	bool seated = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	struct session s = { .credentials = &c->credentials,
			     .out = stdout,
			     .json = c->json,
			     .all = c->all,
			     .json_always = c->json };
	int rc = 0;

	if (c->reference) {
		commands_reference(stdout);
		return 0;
	}
	if (c->candidates) {
		rc = print_candidates(c, &s, e);
		session_fini(&s);
		return rc;
	}
	c->asks = seated && !c->file && !c->n_words;
	if (seated)
		s.ask = editor_ask;
	if (!stands_alone(c, e)) {
		rc = open_session(c, &s, e);
		if (rc > 0)
			return rc;
	}
	if (!rc && c->n_words) {
		rc = session_words(&s, c->words, c->n_words, e);
	} else if (!rc && seated && !c->file) {
		s.lines = s.terminal = true;
		grid_framed(true);
		rc = editor_run(&s);
	} else if (!rc) {
		s.lines = true;
		s.ask = NULL;
		rc = script_run(&s, c->file, e);
	}
	session_fini(&s);
	if (rc >= 0 && (fflush(stdout) || ferror(stdout)))
		rc = err_set(e, -EIO, NULL, "Cannot write the answer.");
	return status_of(rc);
}

int main(int argc, char **argv)
{
	struct command_line c = { 0 };
	struct err e = { 0 };
	int status;

	setlocale(LC_ALL, "");
	/* The controller speaks UTF-8; a container without LANG as well, rather than lose what is typed. */
	if (strcmp(nl_langinfo(CODESET), "UTF-8"))
		setlocale(LC_CTYPE, "C.UTF-8");
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

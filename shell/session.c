#include "shell/session.h"

#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "base/buf.h"
#include "shell/candidates.h"
#include "shell/commands.h"
#include "shell/kinds.h"
#include "shell/text.h"
#include "shell/verbs.h"
#include "shell/words.h"

#define ANY SIZE_MAX
#define VERB_ALONE "`%s` is said inside an object: `configure KIND NAME` opens one."

#define COMMAND(name, run, min, max, words, help) { name, run, min, max, words, help },
const struct command session_commands[] = {
#include "shell/commands.def"
};
#undef COMMAND
const size_t session_n_commands = ARRAY_SIZE(session_commands);

#define VERB(name, run, words, help) { name, run, 0, ANY, words, help },
const struct command session_verbs[] = {
#include "shell/verbs.def"
};
#undef VERB
const size_t session_n_verbs = ARRAY_SIZE(session_verbs);

void session_fini(struct session *s)
{
	mode_close(&s->mode);
	candidates_forget(s);
	client_close(s->client);
	s->client = NULL;
}

char *session_prompt(const struct session *s)
{
	CLEANUP_FREE char *path = mode_path(&s->mode);

	return text_harmless(xasprintf("[%s:controller]: %s> ",
				       s->client ? client_tenant(s->client) : s->credentials->tenant, path));
}

int session_elsewhere(const char *const *words, size_t n, struct err *e)
{
#define ELSEWHERE(name, sentence) { name, sentence },
	static const struct {
		const char *name, *sentence;
	} others[] = {
#include "shell/elsewhere.def"
	};
	CLEANUP_FREE char *two = n > 1 ? xasprintf("%s %s", words[0], words[1]) : NULL;

	for (size_t i = 0; n && i < ARRAY_SIZE(others); i++)
		if (!strcasecmp(others[i].name, words[0]) || (two && !strcasecmp(others[i].name, two)))
			return err_set(e, -EINVAL, NULL, "%s", others[i].sentence);
	return 0;
}

/* ---- which command -------------------------------------------------------------------- */

/* Does the I-th word of NAME begin with WORD? 2: it is WORD. */
static int word_fits(const char *name, size_t i, const char *word)
{
	size_t len;

	while (i--) {
		name += strcspn(name, " ");
		if (!*name++)
			return 0;
	}
	len = strcspn(name, " ");
	if (strncasecmp(name, word, strlen(word)) || !*word || strlen(word) > len)
		return 0;
	return strlen(word) == len ? 2 : 1;
}

static size_t words_in(const char *name)
{
	size_t n = 1;

	for (; (name = strchr(name, ' ')); name++)
		n++;
	return n;
}

static bool same_word(const char *a, const char *b, size_t i)
{
	for (; i--; a++, b++) {
		a += strcspn(a, " ");
		b += strcspn(b, " ");
		if (!*a || !*b)
			return false;
	}
	return strcspn(a, " ") == strcspn(b, " ") && !strncmp(a, b, strcspn(a, " "));
}

const char *session_action(const json_t *model, size_t i)
{
	static const char *seen[64];
	const json_t *k, *a;
	size_t n = 0, j, l, at;

	json_array_foreach(json_object_get(model, "kinds"), j, k) {
		json_array_foreach(json_object_get(k, "actions"), l, a) {
			const char *name = json_str(a, "name", "");

			if (strchr(name, '/'))
				continue;
			for (at = 0; at < n && strcmp(seen[at], name); at++)
				;
			if (at == n && n < ARRAY_SIZE(seen))
				seen[n++] = name;
		}
	}
	return i < n ? seen[i] : NULL;
}

const struct command *session_command(const json_t *model, const char *const *words, size_t n, size_t *used,
				      struct err *e)
{
	const struct command *best = NULL, *first = NULL;
	struct buf several = BUF_INIT;
	const char *action = NULL, *found = NULL;
	size_t different = 0;
	int fit = 0;

	*used = 0;
	e->code = 0;
	/* The first word alone decides which of them it can be. */
	for (size_t i = 0; n && i < ARRAY_SIZE(session_commands); i++) {
		const struct command *c = &session_commands[i];
		int f = word_fits(c->name, 0, words[0]);

		if (!f || (fit == 2 && f == 1))
			continue;
		if (f == 2 && fit == 1) {
			different = 0;
			first = NULL;
			several.len = 0;
		}
		fit = f;
		if (!first || !same_word(first->name, c->name, 0)) {
			different++;
			buf_printf(&several, "%s%.*s", several.len ? ", " : "", (int)strcspn(c->name, " "), c->name);
		}
		if (!first)
			first = c;
	}
	for (size_t i = 0; n && fit < 2 && (action = session_action(model, i)); i++) {
		int f = word_fits(action, 0, words[0]);

		if (f == 2) {
			*used = 1;
			buf_fini(&several);
			return NULL;
		}
		if (f) {
			found = action;
			different++;
			buf_printf(&several, "%s%s", several.len ? ", " : "", action);
		}
	}
	if (different == 1 && !first && found) {
		*used = 1;
	} else if (different == 1) {
		for (size_t i = 0; i < ARRAY_SIZE(session_commands); i++) {
			const struct command *c = &session_commands[i];
			size_t len = words_in(c->name), j = 1;

			if (!same_word(first->name, c->name, 0) || len > n)
				continue;
			while (j < len && word_fits(c->name, j, words[j]))
				j++;
			/* "show d" is a kind rather than "show debug". */
			if (j == len && len > *used && (len == 1 || strlen(words[1]) > 2)) {
				best = c;
				*used = len;
			}
		}
		if (!best && n == 1 && session_verb(words[0]))
			err_set(e, -EINVAL, NULL, VERB_ALONE, words[0]);
		else if (!best)
			err_set(e, -EINVAL, NULL, "%s what? There is: %s.", words[0], first->name);
	} else if (different) {
		err_set(e, -EINVAL, NULL, "'%s' could be any of: %s.", words[0], buf_cstr(&several));
	} else if (n && session_verb(words[0])) {
		err_set(e, -EINVAL, NULL, VERB_ALONE, session_verb(words[0])->name);
	} else if (!session_elsewhere(words, n, e)) {
		err_set(e, -EINVAL, NULL, "There is no command '%s': `help` lists them.", n ? words[0] : "");
	}
	buf_fini(&several);
	return best;
}

const struct command *session_verb(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(session_verbs); i++)
		if (!strcasecmp(session_verbs[i].name, word))
			return &session_verbs[i];
	return NULL;
}

int session_words(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const json_t *model = NULL;
	const struct command *c;
	size_t used;
	int rc = 0;

	c = session_command(NULL, words, n, &used, e);
	/* Only the controller knows its actions: it is asked when no command of ours fits. */
	if (!c) {
		rc = s->client ? client_model(s->client, &model, e) : 0;
		if (rc)
			return rc;
		c = session_command(model, words, n, &used, e);
	}
	if (!c)
		return used ? do_action(s, words, n, e) : e->code;
	if (n - used < c->min)
		return session_elsewhere(words + used - 1, n - used + 1, e) ?: err_set(e, -EINVAL, NULL, "%s needs more words: %s %s", c->name, c->name, c->words);
	if (n - used > c->max)
		return err_set(e, -EINVAL, NULL, "There are too many words: %s %s", c->name, c->words);
	*e = (struct err){ 0 };
	rc = c->run(s, words + used, n - used, e);
	/* "show license": no kind of ours. */
	if (rc == -EINVAL)
		session_elsewhere(words + used - 1, n - used + 1, e);
	return rc;
}

/* ---- a line ---------------------------------------------------------------------------- */

/* It is no field here, but one of a level further out: after `debug_ip addrs 10.0.0.1` one is still inside. 0: it is none. */
static int say_level(struct session *s, const char *word, struct err *e)
{
	const struct mode *m = &s->mode;

	for (size_t i = m->n - 1; i-- > 0;)
		if (kinds_field(kinds_fields(m->model, m->level[i].message), word))
			return err_set(e, -EINVAL, word, "There is no such field in %s. It is one of %s: `save` keeps this level and leads there.",
				       m->level[m->n - 1].message, m->level[i].message);
	return 0;
}

static int in_mode(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const struct command *verb = session_verb(words[0]);
	int rc;

	if (verb)
		return verb->run(s, words + 1, n - 1, e);
	/* A command is not taken for the beginning of a field's name. */
	for (size_t i = 0; i < ARRAY_SIZE(session_commands); i++)
		if (word_fits(session_commands[i].name, 0, words[0]) == 2 &&
		    !kinds_field(kinds_fields(s->mode.model, mode_level(&s->mode)->message), words[0]))
			return say_level(s, words[0], e) ?: err_set(e, -EINVAL, words[0], "It is no field here; `do %s` is the command.", words[0]);
	rc = verb_edit(s, words, n, e);
	if (rc == -EINVAL && !strcmp(e->path, words[0])) {
		/* A verb that was cut short. */
		for (size_t i = 0; i < ARRAY_SIZE(session_verbs); i++)
			if (!strncasecmp(session_verbs[i].name, words[0], strlen(words[0])) &&
			    !strstr(e->text, "could be any of"))
				return session_verbs[i].run(s, words + 1, n - 1, e);
		say_level(s, words[0], e);
	}
	return rc;
}

static const char *filter_name(const void *arg, size_t i)
{
	return ((const char *const *)arg)[i];
}

/* "| include TEXT", "| exclude TEXT", "| count" */
static int filter(FILE *out, char *text, char *const *words, size_t n, struct err *e)
{
	static const char *const names[] = { "include", "exclude", "count" };
	int which = n ? words_choose(words[0], ARRAY_SIZE(names), filter_name, names) : -1;
	bool include = n == 2 && which == 0, exclude = n == 2 && which == 1;
	size_t count = 0;
	char *line, *rest = text;

	if (!include && !exclude && !(n == 1 && which == 2))
		return err_set(e, -EINVAL, NULL, "Behind a | stands include TEXT, exclude TEXT or count.");
	while ((line = strsep(&rest, "\n"))) {
		if (!*line && !rest)
			break;
		if (!include && !exclude)
			count++;
		else if ((strcasestr(line, words[1]) != NULL) == include)
			fprintf(out, "%s\n", line);
	}
	if (!include && !exclude)
		fprintf(out, "%zu lines\n", count);
	return 0;
}

bool session_goes_on(const struct session *s, const char *const *words, size_t n)
{
	size_t doing = s->mode.n && n > 1 && !strcasecmp(words[0], "do"), used;
	const struct command *c;

	if (s->mode.n && !doing)
		return false;
	c = session_command(NULL, words + doing, n - doing, &used, &(struct err){ 0 });
	return c && c->run == do_watch;
}

int session_filtered(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const struct words *w = s->pipe;
	CLEANUP_FREE char *text = NULL;
	FILE *out = s->out;
	size_t len;
	int rc;

	/* Each answer is filtered, rather than all of them at the end. */
	if (!w || session_goes_on(s, words, n))
		return s->mode.n ? in_mode(s, words, n, e) : session_words(s, words, n, e);
	s->out = open_memstream(&text, &len);
	must(s->out);
	rc = s->mode.n ? in_mode(s, words, n, e) : session_words(s, words, n, e);
	fclose(s->out);
	s->out = out;
	return rc < 0 ? rc : filter(out, text, w->text + w->pipe + 1, w->n - w->pipe - 1, e) ?: rc;
}

static int run(struct session *s, const struct words *w, struct err *e)
{
	const char *const *words = (const char *const *)w->text;
	bool json = s->json, all = s->all;
	size_t n = w->pipe;
	int rc;

	/* Behind a show it is an option, wherever it stands. */
	CLEANUP_FREE const char **left = xcalloc(n + 1, sizeof(*left));
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(words[i], "--json") && !(s->mode.n && session_verb(words[0]) == NULL))
			s->json = true;
		else if (!strcmp(words[i], "--all") && !(s->mode.n && session_verb(words[0]) == NULL))
			s->all = true;
		else
			left[k++] = words[i];
	s->json |= s->json_always;
	rc = k ? session_filtered(s, left, k, e) : 0;
	s->json = json;
	s->all = all;
	return rc;
}

/* ---- here-documents ------------------------------------------------------------------- */

/* One more line, from wherever lines come; a key in PEM comes whole. NULL: no more. Caller frees. */
static char *next_line(struct session *s, bool secret)
{
	return s->ask ? s->ask(s->arg, "> ", secret) : s->next ? s->next(s->arg) : NULL;
}

/* The lines until the one that is END. Caller frees; NULL with a sentence. */
static char *here_text(struct session *s, const char *end, bool secret, struct err *e)
{
	struct buf b = BUF_INIT;
	char *line, *text = NULL;

	while (!text && (line = next_line(s, secret))) {
		if (!strcmp(line, end))
			text = xstrdup(b.len ? buf_cstr(&b) : "");
		else
			buf_printf(&b, "%s%s", b.len ? "\n" : "", line);
		explicit_bzero(line, strlen(line));
		free(line);
	}
	if (!text && s->ask)
		err_set(e, -EINTR, NULL, "Nothing was set.");
	else if (!text)
		err_set(e, -EINVAL, NULL, "There is no line '%s' that ends the text.", end);
	if (b.data)
		explicit_bzero(b.data, b.len);
	buf_fini(&b);
	return text;
}

/* "<<EOF" becomes the text that follows the line. */
static int read_here(struct session *s, struct words *w, struct err *e)
{
	const json_t *model = s->mode.model;
	struct err ignored;

	for (size_t i = 0; i < w->n; i++) {
		bool secret;
		char *text;

		if (!w->here[i])
			continue;
		if (!model && s->client && client_model(s->client, &model, &ignored))
			model = NULL;
		secret = i && model && kinds_may_be_secret(model, w->text[i - 1]);
		text = here_text(s, w->text[i] + 2, secret, e);
		if (!text)
			return e->code;
		free(w->text[i]);
		w->text[i] = text;
	}
	return 0;
}

int session_line(struct session *s, const char *line, struct err *e)
{
	struct words w;
	int rc;

	*e = (struct err){ 0 };
	s->secret = false;
	words_cut(&w, line);
	s->pipe = w.pipe < w.n ? &w : NULL;
	if (w.open)
		rc = err_set(e, -EINVAL, NULL, w.open == '\\' ? "There is nothing behind the last backslash."
							       : "A quote is not closed.");
	else
		rc = read_here(s, &w, e);
	if (!rc && w.n)
		rc = run(s, &w, e);
	s->pipe = NULL;
	words_fini(&w);
	return rc;
}

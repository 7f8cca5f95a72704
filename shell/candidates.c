#include "shell/candidates.h"

#include <dirent.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/base.h"
#include "base/buf.h"
#include "shell/grid.h"
#include "shell/kinds.h"
#include "shell/objects.h"
#include "shell/text.h"
#include "shell/words.h"

/* How long names of objects are as good as new. */
#define FRESH_NS (3 * NS_PER_S)
#define NAMES_MAX 200 /* a page: who has more types a letter */

struct names {
	json_t *of; /* what was asked -> [name] */
	uint64_t at;
};

void candidates_forget(struct session *s)
{
	if (!s->names)
		return;
	json_decref(s->names->of);
	free(s->names);
	s->names = NULL;
}

/* What cannot be shown as it is cannot be typed either: by its uuid, then. */
static void put_names(json_t *names, const json_t *answer)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(answer, "results"), i, o) {
		const char *name = json_str(o, "name", "");
		CLEANUP_FREE char *clean = text_harmless(xstrdup(name));

		if (*name && !strcmp(clean, name))
			json_array_append_new(names, json_string(name));
	}
}

/* How many fit; the first of them into NAMES, in the order of HOW. */
static json_int_t ask_names(struct session *s, const char *kind, const char *escaped, const char *how, json_t *names)
{
	CLEANUP_FREE char *path = xasprintf("/api/%s?fields=name%s%s", kind, how, escaped);
	CLEANUP_JSON json_t *answer = NULL;
	struct err ignored;

	if (client_get(s->client, path, &answer, &ignored))
		return 0;
	put_names(names, answer);
	return json_int(answer, "count", 0);
}

#define PAGE_OF(n) "&page_size=" PAGE_TEXT(n)
#define PAGE_TEXT(n) #n

/*
 * {"names": [...], "more": n}; borrowed. Of more than a page the first and the very last by the order of their bytes: what these
 * begin with, all do.
 */
static const json_t *names_of(struct session *s, const char *kind, const char *word)
{
	CLEANUP_FREE char *escaped = s->client ? client_escape(s->client, word) : NULL;
	CLEANUP_FREE char *key = xasprintf("%s %s", kind, word);
	json_t *there, *names;
	json_int_t count, more;

	if (s->names && mono_ns() - s->names->at > FRESH_NS)
		candidates_forget(s);
	if (!s->names) {
		s->names = xcalloc(1, sizeof(*s->names));
		s->names->of = json_object();
		s->names->at = mono_ns();
	}
	there = json_object_get(s->names->of, key);
	if (there || !s->client)
		return there;
	names = json_array();
	count = ask_names(s, kind, escaped, PAGE_OF(NAMES_MAX) "&sort=name&name.icontains=", names);
	more = 0;
	if (count > NAMES_MAX) {
		json_array_clear(names);
		count = ask_names(s, kind, escaped, PAGE_OF(NAMES_MAX) "&sort=name&name.startswith=", names);
		more = MAX(count - NAMES_MAX - 1, 0);
		if (count > NAMES_MAX)
			ask_names(s, kind, escaped, PAGE_OF(1) "&sort=-name&name.startswith=", names);
	}
	there = json_pack("{s:o, s:I}", "names", names, "more", more);
	json_object_set_new(s->names->of, key, there);
	return there;
}

/* ---- gathering ------------------------------------------------------------------------- */

static void add(struct candidates *c, const char *text, const char *help)
{
	size_t len = strlen(c->word);

	if (strncasecmp(text, c->word, len))
		return;
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->list[i].text, text))
			return;
	c->list = xrealloc(c->list, (c->n + 1) * sizeof(*c->list));
	c->list[c->n++] = (struct candidate){ xstrdup(text), help ? text_harmless(xstrdup(help)) : NULL };
}

static void add_names(struct session *s, struct candidates *c, const char *kind)
{
	const json_t *found = names_of(s, kind, c->word), *name;
	size_t i;

	json_array_foreach(json_object_get(found, "names"), i, name)
		add(c, json_string_value(name), NULL);
	c->more += (size_t)json_int(found, "more", 0);
}

/*
 * Files and folders of this machine, those that are hidden when that is what was begun; behind MARK, which is what a word
 * begins with that names a file.
 */
static void add_files(struct candidates *c, const char *mark)
{
	const char *word = c->word + MIN(strlen(mark), strlen(c->word)), *slash = strrchr(word, '/');
	const char *name = slash ? slash + 1 : word;
	CLEANUP_FREE char *folder = slash ? xstrndup(word, (size_t)(name - word)) : xstrdup("");
	struct dirent **entries = NULL;
	int n = scandir(*folder ? folder : ".", &entries, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		const char *entry = entries[i]->d_name;
		CLEANUP_FREE char *path = xasprintf("%s%s", folder, entry);
		CLEANUP_FREE char *clean = text_harmless(xstrdup(path));
		struct stat st;
		bool below = !stat(path, &st) && S_ISDIR(st.st_mode);
		CLEANUP_FREE char *text = xasprintf("%s%s%s", mark, path, below ? "/" : "");

		if ((*entry != '.' || *name == '.') && !strcmp(clean, path))
			add(c, text, NULL);
		free(entries[i]);
	}
	free(entries);
}

char *candidates_type(const json_t *field)
{
	const char *type = json_str(field, "type", "");
	const char *list = json_bool(field, "list", false) ? "list of " : "";

	if (!strcmp(type, "ref"))
		return xasprintf("%s%s", list, json_str(field, "ref", "object"));
	if (!strcmp(type, "message"))
		return xasprintf("%s%s", list, json_str(field, "message", ""));
	return xasprintf("%s%s", list, type);
}

char *candidates_range(const json_t *field)
{
	struct buf b = BUF_INIT;
	const json_t *v;
	size_t i;
	char *s;

	if (json_object_get(field, "min"))
		buf_printf(&b, "%lld to %lld", (long long)json_int(field, "min", 0),
			   (long long)json_int(field, "max", 0));
	json_array_foreach(json_object_get(field, "special"), i, v)
		buf_printf(&b, "%s%lld", b.len ? ", or " : "or ", (long long)json_integer_value(v));
	json_array_foreach(json_object_get(field, "one_of"), i, v)
		buf_printf(&b, "%s%lld", b.len ? ", " : "", (long long)json_integer_value(v));
	if (json_object_get(field, "max_bytes"))
		buf_printf(&b, "%s%lld bytes", b.len ? ", " : "up to ",
			   (long long)json_int(field, "max_bytes", 0));
	if (json_object_get(field, "max_items"))
		buf_printf(&b, "%s%lld items", b.len ? ", " : "up to ",
			   (long long)json_int(field, "max_items", 0));
	if (json_object_get(field, "unit"))
		buf_printf(&b, "%s%s", b.len ? " " : "", json_str(field, "unit", ""));
	s = xstrdup(b.len ? buf_cstr(&b) : "");
	buf_fini(&b);
	return s;
}

char *candidates_about(const json_t *field)
{
	return xasprintf("%s%s%s%s", json_str(field, "help", ""),
			 json_bool(field, "required", false) ? " Required." : "",
			 json_bool(field, "inert", false) && json_object_get(field, "help") &&
					 !strstr(json_str(field, "help", ""), "without effect")
				 ? " Without effect yet."
				 : "",
			 json_bool(field, "secret", false) ? " A secret: alone, it is asked for." : "");
}

/* "lb_algorithm (enum, default LB_...): Which server is next." */
static char *about_field(const json_t *f)
{
	CLEANUP_FREE char *type = candidates_type(f), *range = candidates_range(f), *about = candidates_about(f);
	CLEANUP_FREE char *dflt = text_of(json_object_get(f, "default"));

	return xasprintf("%s%s%s%s%s. %s", type, *range ? ", " : "", range, *dflt ? ", default " : "", dflt, about);
}

static void add_fields(struct candidates *c, const json_t *message)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(message, "fields"), i, f) {
		CLEANUP_FREE char *about = about_field(f);

		if (!json_bool(f, "read_only", false))
			add(c, json_str(f, "name", ""), about);
	}
}

static void say_about(struct candidates *c, const char *name, const json_t *field)
{
	CLEANUP_FREE char *about = about_field(field);

	free(c->about);
	c->about = text_harmless(xasprintf("%s: %s", name, about));
}

/* Items of a list by what they go by, or by number. */
static void add_items(struct session *s, struct candidates *c, const struct expect *x)
{
	const json_t *model = s->mode.model, *item;
	size_t i;

	json_array_foreach((json_t *)x->value, i, item) {
		CLEANUP_FREE char *text = kinds_item(model, x->field, item);
		CLEANUP_FREE char *number = xasprintf("%zu", i + 1);

		add(c, x->index ? number : text, x->index ? text : "What is there.");
	}
}

static void add_expected(struct session *s, struct candidates *c, const struct expect *x)
{
	const char *type = json_str(x->field, "type", "");
	bool list = json_bool(x->field, "list", false);
	const json_t *v;
	size_t i;

	if (x->field)
		say_about(c, json_str(x->field, "name", ""), x->field);
	if (x->field && x->index) {
		add_items(s, c, x);
		return;
	}
	if (x->field && *c->word == '@') {
		add_files(c, "@");
		return;
	}
	if (!strcmp(type, "enum"))
		json_array_foreach(json_object_get(x->field, "values"), i, v)
			add(c, json_string_value(v), NULL);
	if (!strcmp(type, "bool")) {
		add(c, "true", NULL);
		add(c, "false", NULL);
		/* Alone it is true, and another field may follow; not what begins as its value does. */
		if (c->n && *c->word)
			return;
	}
	if (!strcmp(type, "ref"))
		add_names(s, c, json_str(x->field, "ref", ""));
	if (list && !strcmp(type, "message")) {
		if (json_array_size(x->value))
			add(c, "index", "One that is there, by its number from 1.");
		add_items(s, c, x);
	}
	add_fields(c, x->message);
}

/* ---- commands ----------------------------------------------------------------------------- */

static const json_t *kind_of(const json_t *model, const char *word)
{
	const json_t *k = NULL;
	struct err e;

	return word && !kinds_find(model, word, &k, &e) ? k : NULL;
}

/* The kind that is what is debugged of KIND. */
static const json_t *debug_of(const json_t *model, const json_t *kind)
{
	const json_t *k;
	size_t i;

	json_array_foreach(json_object_get(model, "kinds"), i, k)
		if (!strcmp(json_str(k, "of", ""), json_str(kind, "kind", "")))
			return k;
	return NULL;
}

static void add_kinds(struct candidates *c, const json_t *model, bool debug)
{
	const json_t *k;
	size_t i;

	json_array_foreach(json_object_get(model, "kinds"), i, k) {
		const char *of = json_str(k, "of", NULL);

		if (json_bool(k, "runtime", false))
			continue;
		if (!debug)
			add(c, json_str(k, "kind", ""), json_str(k, "help", ""));
		else if (of)
			add(c, of, json_str(k, "help", ""));
	}
}

/* "runtime/detail" is "runtime detail", as views are typed with blanks as well: behind WORDS the rest of them. */
static void add_views(struct candidates *c, const json_t *kind, const char *const *words, size_t n)
{
	struct buf begun = BUF_INIT;
	const json_t *v;
	size_t i;

	for (i = 0; i < n; i++)
		buf_printf(&begun, "%s/", words[i]);
	json_array_foreach(json_object_get(kind, "views"), i, v)
		if (!begun.len || !strncmp(json_string_value(v), buf_cstr(&begun), begun.len))
			add(c, json_string_value(v) + begun.len, NULL);
	buf_fini(&begun);
}

static void add_actions(struct candidates *c, const json_t *kind, const char *below)
{
	const json_t *a;
	size_t i;

	json_array_foreach(json_object_get(kind, "actions"), i, a)
		if (strstr(json_str(a, "name", ""), below))
			add(c, json_str(a, "name", ""), NULL);
}

static void add_commands(struct candidates *c, const json_t *model)
{
	const char *name;

	for (size_t i = 0; i < session_n_commands; i++) {
		const struct command *one = &session_commands[i];
		CLEANUP_FREE char *first = xstrndup(one->name, strcspn(one->name, " "));

		add(c, first, one->help);
	}
	for (size_t i = 0; (name = session_action(model, i)); i++)
		add(c, name, "An action on an object.");
}

static void in_command(struct session *s, struct candidates *c, const char *const *words, size_t n);

/* What an action takes: pairs of a parameter and its value. */
static void add_parameters(struct session *s, struct candidates *c, const json_t *model, const json_t *kind,
			   const char *const *words, size_t n, size_t since)
{
	const json_t *a = kinds_action(kind, words[0]);
	CLEANUP_JSON json_t *fields = json_deep_copy(json_object_get(a, "parameters"));
	CLEANUP_JSON json_t *message = json_pack("{s:O?}", "fields", fields);
	CLEANUP_JSON json_t *as_model = json_pack("{s:{s:O}}", "messages", "", message);
	struct expect x = mode_expect(as_model, "", NULL, words + since, n - since);

	(void)model;
	add_expected(s, c, &x);
}

static void slot(struct session *s, struct candidates *c, const char *token, const char *const *words, size_t n,
		 const json_t *model, const json_t *kind, size_t since)
{
	static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	CLEANUP_FREE char *copy = xstrdup(token);
	char *rest = copy, *word;

	if (!strcmp(token, "KIND"))
		add_kinds(c, model, false);
	else if (!strcmp(token, "DEBUGKIND"))
		add_kinds(c, model, true);
	else if (!strcmp(token, "NAME") && kind)
		add_names(s, c, json_str(kind, "kind", ""));
	else if (!strcmp(token, "SERVICE"))
		add_names(s, c, "virtualservice");
	else if (!strcmp(token, "TENANT"))
		add_names(s, c, "tenant");
	else if (!strcmp(token, "VIEW") && kind)
		add_views(c, kind, words + MIN(since, n), n - MIN(since, n));
	else if (!strcmp(token, "FILE") || !strcmp(token, "DIRECTORY"))
		add_files(c, "");
	else if (!strcmp(token, "WHAT") && kind)
		add_actions(c, kind, "clear");
	else if (!strcmp(token, "COMMAND"))
		in_command(s, c, words + since, n - since);
	else if (!strcmp(token, "FIELDS") && kind) {
		struct expect x = mode_expect(model, json_str(kind, "message", ""), NULL, words + since, n - since);

		s->mode.model = s->mode.n ? s->mode.model : model;
		add_expected(s, c, &x);
	} else if (!strchr(upper, *token)) {
		while ((word = strsep(&rest, "|")))
			add(c, word, NULL);
	} else if (!c->about) {
		c->about = xstrdup(token);
	}
}

/*
 * Behind "filter", which ends what else may follow: fields of the kind, and their values. false: it is not said yet.
 */
static bool in_filter(struct session *s, struct candidates *c, const char *const *words, size_t n, size_t used, const json_t *model)
{
	const json_t *kind = n > used ? kind_of(model, words[used]) : NULL;

	for (size_t i = used + 1; kind && i < n; i++) {
		struct expect x;

		if (strcasecmp(words[i], "filter"))
			continue;
		/* A row of a view has members of its own, which only the answer tells. */
		if (i > used + 1) {
			c->about = xstrdup("pairs of a member of the rows, and its value");
			return true;
		}
		x = mode_expect(model, json_str(kind, "message", ""), NULL, words + i + 1, n - i - 1);
		s->mode.model = s->mode.n ? s->mode.model : model;
		add_expected(s, c, &x);
		return true;
	}
	return false;
}

/* The N-th word behind a command's name, by what the table says follows. */
static void in_command(struct session *s, struct candidates *c, const char *const *words, size_t n)
{
	const struct command *cmd;
	const json_t *model = NULL, *kind = NULL;
	CLEANUP_FREE char *copy = NULL;
	struct err e;
	size_t used, since = 0;
	char *rest, *token, *last = NULL, *filter;
	bool debug = false;

	if (s->client)
		client_model(s->client, &model, &e);
	if (n == 0) {
		add_commands(c, model);
		return;
	}
	cmd = session_command(model, words, n, &used, &e);
	/* The second words of names: "export configuration". */
	for (size_t i = 0; i < session_n_commands; i++) {
		const char *name = session_commands[i].name, *second = strchr(name, ' ');

		if (second && n == 1 && *words[0] && !strncasecmp(name, words[0], strlen(words[0])) &&
		    (!cmd || !strncmp(cmd->name, name, strcspn(name, " "))))
			add(c, second + 1, session_commands[i].help);
	}
	if (!cmd && used) {
		copy = xstrdup("KIND NAME PARAMETERS...");
	} else if (!cmd) {
		return;
	} else {
		copy = xstrdup(cmd->words);
	}
	filter = strstr(copy, " [filter");
	if (filter) {
		*filter = '\0';
		if (in_filter(s, c, words, n, used, model))
			return;
	}
	rest = copy;
	for (size_t i = used; (token = strsep(&rest, " ")) || last; i++) {
		bool repeats = false;
		char *dots;

		if (token) {
			token += strspn(token, "[");
			dots = strstr(token, "...");
			repeats = dots != NULL;
			token[strcspn(token, "].")] = '\0';
			last = repeats || !strcmp(token, "COMMAND") || !strcmp(token, "VIEW") ? token : NULL;
			since = i;
		} else {
			token = last;
		}
		if (!strcmp(token, "PARAMETERS")) {
			add_parameters(s, c, model, kind, words, n, since);
			return;
		}
		if (i == n || (last && (!strcmp(last, "COMMAND") || !strcmp(last, "FIELDS")))) {
			slot(s, c, token, words, n, model, kind, since);
			if (filter && kind)
				add(c, "filter", "Only what has these values.");
			return;
		}
		if (i > n)
			return;
		/* Behind its name come the fields of what is debugged of it. */
		if (!strcmp(token, "NAME") && debug)
			kind = debug_of(model, kind);
		debug |= !strcmp(token, "DEBUGKIND");
		if (!strcmp(token, "KIND") || !strcmp(token, "DEBUGKIND")) {
			kind = kind_of(model, words[i]);
			/* There is only one: no name, a view at once. */
			if (json_bool(kind, "singleton", false) && rest && cmd && !strcmp(cmd->name, "show"))
				strsep(&rest, " ");
		}
	}
}

/* ---- the line --------------------------------------------------------------------------------- */

static void in_mode(struct session *s, struct candidates *c, const char *const *words, size_t n)
{
	const struct level *l = mode_level(&s->mode);
	struct expect x;

	if (n && session_verb(words[0])) {
		if (!strcasecmp(words[0], "do")) {
			in_command(s, c, words + 1, n - 1);
			return;
		}
		if (strcasecmp(words[0], "no") && strcasecmp(words[0], "show_schema"))
			return;
		words++;
		n--;
		x = mode_expect(s->mode.model, l->message, l->value, words, n);
		/* Out of a list comes what is in it. */
		if (x.field && json_bool(x.field, "list", false))
			x.message = NULL;
		add_expected(s, c, &x);
		return;
	}
	x = mode_expect(s->mode.model, l->message, l->value, words, n);
	add_expected(s, c, &x);
	for (size_t i = 0; n == 0 && i < session_n_verbs; i++)
		add(c, session_verbs[i].name, session_verbs[i].help);
}

void candidates_of(struct session *s, const char *line, struct candidates *c)
{
	const char *const *words;
	struct words w;
	size_t n;

	words_cut(&w, line);
	n = w.n - (w.between || !w.n ? 0 : 1);
	*c = (struct candidates){ .begin = n < w.n ? w.at[n] : strlen(line),
				  .word = xstrdup(n < w.n ? w.text[n] : "") };
	words = (const char *const *)w.text;
	if (w.pipe < n) {
		if (n == w.pipe + 1) {
			add(c, "include", "Lines with this text.");
			add(c, "exclude", "Lines without it.");
			add(c, "count", "How many lines there are.");
		}
	} else if (s->mode.n) {
		in_mode(s, c, words, n);
	} else {
		in_command(s, c, words, n);
	}
	words_fini(&w);
}

void candidates_fini(struct candidates *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->list[i].text);
		free(c->list[i].help);
	}
	free(c->list);
	free(c->about);
	free(c->word);
	*c = (struct candidates){ 0 };
}

char *candidates_common(const struct candidates *c)
{
	const char *first;
	size_t len;

	if (!c->n)
		return NULL;
	first = c->list[0].text;
	len = strlen(first);
	for (size_t i = 1; i < c->n; i++) {
		size_t same = 0;

		while (same < len && first[same] == c->list[i].text[same])
			same++;
		len = same;
	}
	/* Not in the middle of a character. */
	while (len && ((unsigned char)first[len] & 0xc0) == 0x80)
		len--;
	return len >= strlen(c->word) && (c->n == 1 || len > strlen(c->word)) ? xstrndup(first, len) : NULL;
}

/* TEXT behind HEAD, in lines of the terminal that begin at column INDENT. */
static void say_wrapped(FILE *out, const char *head, const char *text, size_t indent)
{
	size_t room = grid_room(out), at = strlen(head);

	fputs(head, out);
	if (at > indent && room < 64 && *text) {
		fprintf(out, "\n%*s", (int)indent, "");
		at = indent;
	}
	while (*text) {
		size_t len = strcspn(text, " ");

		if (at + len > room && at > indent) {
			fprintf(out, "\n%*s", (int)indent, "");
			at = indent;
		}
		fwrite(text, 1, len, out);
		at += len;
		text += len;
		if (*text == ' ') {
			text++;
			if (at + 1 + strcspn(text, " ") <= room) {
				fputc(' ', out);
				at++;
			} else {
				at = room;
			}
		}
	}
	fputc('\n', out);
}

void candidates_help(struct session *s, const char *line, FILE *out)
{
	struct candidates c;

	candidates_of(s, line, &c);
	if (c.about)
		say_wrapped(out, "", c.about, 0);
	for (size_t i = 0; i < c.n; i++) {
		/* Its help beside it, or, where that would be a narrow column, below. */
		size_t beside = grid_room(out) < 64 ? 6 : 32;
		CLEANUP_FREE char *text = xasprintf("  %-*s  ", (int)beside - 4, c.list[i].text);

		say_wrapped(out, text, c.list[i].help ? c.list[i].help : "", beside);
	}
	if (c.more)
		fprintf(out, CANDIDATES_MORE, c.more);
	if (!c.n && !c.about)
		fputs("Nothing more can be said here.\n", out);
	candidates_fini(&c);
}

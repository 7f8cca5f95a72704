#include "shell/editor.h"

#include <errno.h>
#include <histedit.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/base.h"
#include "base/buf.h"
#include "shell/candidates.h"
#include "shell/credentials.h"
#include "shell/grid.h"
#include "shell/interrupt.h"
#include "shell/kinds.h"
#include "shell/pager.h"
#include "shell/text.h"
#include "shell/words.h"

#define HISTORY_MAX 2000
#define KEY_BEGINS "-----BEGIN "

struct editor {
	struct session *session;
	EditLine *el;
	History *history;
	char *prompt, *file;
	bool dropped; /* Ctrl-C: the line counts for nothing */
};

/* ---- asking -------------------------------------------------------------------------- */

/* A key in PEM goes on to its last line, so that no part of it is taken for a command. */
static void whole_key(char **text, size_t *size)
{
	size_t len = strlen(*text), more = 0;
	char *line = NULL;

	if (strncmp(*text, KEY_BEGINS, strlen(KEY_BEGINS)))
		return;
	while (getline(&line, &more, stdin) >= 0) {
		size_t n = strlen(line);
		char *both = xcalloc(1, len + n + 1);

		memcpy(both, *text, len);
		memcpy(both + len, line, n);
		explicit_bzero(*text, len);
		free(*text);
		*text = both;
		*size = len + n + 1;
		len += n;
		if (!strncmp(line, "-----END ", 9))
			break;
	}
	if (line)
		explicit_bzero(line, more);
	free(line);
}

char *editor_ask(void *arg, const char *question, bool secret)
{
	struct termios was, quiet;
	bool changed = false;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	(void)arg;
	interrupt_forget();
	/* What was typed ahead, or pasted, behind the answer is for the editor: it does not read from a stream. */
	setvbuf(stdin, NULL, _IONBF, 0);
	/* Before the question: who answers quickly is not shown either. */
	if (secret && tcgetattr(STDIN_FILENO, &was) == 0) {
		quiet = was;
		quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
		changed = tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet) == 0;
	}
	fputs(question, stdout);
	fflush(stdout);
	clearerr(stdin);
	n = getline(&line, &size, stdin);
	if (secret && n >= 0)
		whole_key(&line, &size);
	if (changed) {
		tcsetattr(STDIN_FILENO, TCSADRAIN, &was);
		putchar('\n');
	} else if (n < 0) {
		putchar('\n');
	}
	clearerr(stdin);
	if (n < 0 || interrupt_seen()) {
		interrupt_forget();
		free(line);
		return NULL;
	}
	if (!secret || strncmp(line, KEY_BEGINS, strlen(KEY_BEGINS)))
		line[strcspn(line, "\r\n")] = '\0';
	return line;
}

/* ---- keys ------------------------------------------------------------------------------ */

static struct editor *editor_of(EditLine *el)
{
	void *e = NULL;

	el_get(el, EL_CLIENTDATA, &e);
	return e;
}

static char *prompt(EditLine *el)
{
	return editor_of(el)->prompt;
}

/* The line up to the cursor. Caller frees. */
static char *so_far(EditLine *el)
{
	const LineInfo *l = el_line(el);

	return xstrndup(l->buffer, (size_t)(l->cursor - l->buffer));
}

static unsigned terminal_width(void)
{
	struct winsize w;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
}

/* Words side by side, as many as fit. */
static void list(const struct candidates *c)
{
	size_t wide = 0, columns;

	for (size_t i = 0; i < c->n; i++)
		wide = MAX(wide, strlen(c->list[i].text) + 2);
	columns = MAX(terminal_width() / MAX(wide, 1), 1);
	putchar('\n');
	for (size_t i = 0; i < c->n; i++)
		printf("%-*s%s", (int)wide, c->list[i].text, (i + 1) % columns && i + 1 < c->n ? "" : "\n");
	if (c->more)
		printf(CANDIDATES_MORE, c->more);
	fflush(stdout);
}

static unsigned char complete(EditLine *el, int key)
{
	struct editor *ed = editor_of(el);
	CLEANUP_FREE char *line = so_far(el), *common = NULL, *typed = NULL;
	struct candidates c;
	unsigned char what = CC_REFRESH;

	(void)key;
	candidates_of(ed->session, line, &c);
	common = candidates_common(&c);
	if (common) {
		typed = words_quoted(common);
		/* More of the name is to come. */
		if (c.n > 1 && *typed == '"')
			typed[strlen(typed) - 1] = '\0';
		el_deletestr(el, (int)(mbstowcs(NULL, line + c.begin, 0)));
		el_insertstr(el, typed);
		/* Into a folder one goes on. */
		if (c.n == 1 && common[strlen(common) - 1] != '/')
			el_insertstr(el, " ");
	} else if (c.n > 1) {
		list(&c);
		what = CC_REDISPLAY;
	} else {
		if (c.about && !c.n) {
			printf("\n%s\n", c.about);
			fflush(stdout);
			what = CC_REDISPLAY;
		} else {
			what = CC_REFRESH_BEEP;
		}
	}
	candidates_fini(&c);
	return what;
}

static unsigned char help(EditLine *el, int key)
{
	struct editor *ed = editor_of(el);
	CLEANUP_FREE char *line = so_far(el);
	struct words w;
	bool inside;

	(void)key;
	/* In a quoted text it is a character as any other. */
	words_cut(&w, line);
	inside = w.open != 0;
	words_fini(&w);
	if (inside) {
		el_insertstr(el, "?");
		return CC_REFRESH;
	}
	putchar('\n');
	if (ed->session->length > 1) {
		FILE *paged = pager_open(stdout, ed->session->length - 1);

		grid_width((int)terminal_width());
		candidates_help(ed->session, line, paged);
		fclose(paged);
		grid_width(ed->session->width);
	} else {
		candidates_help(ed->session, line, stdout);
	}
	fflush(stdout);
	return CC_REDISPLAY;
}

static unsigned char drop(EditLine *el, int key)
{
	struct editor *ed = editor_of(el);

	(void)key;
	ed->dropped = true;
	/* Behind the line, however many rows it has; and only Enter finds its last row. */
	el_cursor(el, INT_MAX / 2);
	el_insertstr(el, "^C");
	el_push(el, "\n");
	return CC_REFRESH;
}

/*
 * A key. Ctrl-C is a signal, as while a command runs: here it becomes the character again. libedit would
 * go on with a line after it.
 */
static int get_key(EditLine *el, wchar_t *out)
{
	static int columns;
	char bytes[MB_LEN_MAX];
	size_t n = 0;

	for (;;) {
		mbstate_t state = { 0 };
		ssize_t got;

		if (!interrupt_wait(STDIN_FILENO)) {
			interrupt_forget();
			*out = L'\003';
			return 1;
		}
		if (columns != (int)terminal_width()) {
			if (columns)
				el_resize(el);
			columns = (int)terminal_width();
		}
		got = read(STDIN_FILENO, bytes + n, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return (int)got;
		n++;
		switch (mbrtowc(out, bytes, n, &state)) {
		case (size_t)-2:
			if (n < sizeof(bytes))
				continue;
			n = 0;
			continue;
		case (size_t)-1:
			n = 0; /* no character of this terminal's */
			continue;
		default:
			return 1;
		}
	}
}

/* ---- history ------------------------------------------------------------------------------- */

static void history_open(struct editor *ed)
{
	HistEvent ev;
	struct stat st;

	ed->history = history_init();
	must(ed->history);
	history(ed->history, &ev, H_SETSIZE, HISTORY_MAX);
	history(ed->history, &ev, H_SETUNIQUE, 1);
	ed->file = credentials_beside("history");
	/* Somebody else's is none of ours. */
	if (ed->file && lstat(ed->file, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid())
		history(ed->history, &ev, H_LOAD, ed->file);
}

static void history_keep(struct editor *ed, const char *line)
{
	mode_t was = umask(077);
	HistEvent ev;

	history(ed->history, &ev, H_ENTER, line);
	if (ed->file) {
		history(ed->history, &ev, H_SAVE, ed->file);
		chmod(ed->file, 0600);
	}
	umask(was);
}

static void history_list(void *arg, FILE *out)
{
	struct editor *ed = arg;
	HistEvent ev;
	int n = 1;

	for (int rc = history(ed->history, &ev, H_LAST); rc >= 0; rc = history(ed->history, &ev, H_PREV))
		fprintf(out, "%5d  %.*s\n", n++, (int)strcspn(ev.str, "\n"), ev.str);
}

/* Does the line name a secret, though nobody understood it? */
static bool names_secret(struct session *s, const char *line)
{
	const json_t *model = NULL;
	struct words w;
	struct err e;
	bool found = false;

	if (!s->client || client_model(s->client, &model, &e))
		return false;
	words_cut(&w, line);
	for (size_t i = 0; i < w.n && !found; i++)
		found = kinds_is_secret(model, w.text[i]);
	words_fini(&w);
	return found;
}

/* ---- the loop ---------------------------------------------------------------------------------- */

static void editor_open(struct editor *ed)
{
	ed->el = el_init("spanwire", stdin, stdout, stderr);
	must(ed->el);
	el_set(ed->el, EL_CLIENTDATA, ed);
	el_set(ed->el, EL_SIGNAL, 0);
	el_set(ed->el, EL_EDITOR, "emacs");
	el_set(ed->el, EL_PROMPT, prompt);
	el_set(ed->el, EL_HIST, history, ed->history);
	el_set(ed->el, EL_ADDFN, "spanwire-complete", "What may follow", complete);
	el_set(ed->el, EL_ADDFN, "spanwire-help", "What it means", help);
	el_set(ed->el, EL_ADDFN, "spanwire-drop", "Drops the line", drop);
	el_set(ed->el, EL_BIND, "^I", "spanwire-complete", NULL);
	el_set(ed->el, EL_BIND, "?", "spanwire-help", NULL);
	el_set(ed->el, EL_BIND, "^C", "spanwire-drop", NULL);
	el_set(ed->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
	el_set(ed->el, EL_BIND, "^W", "ed-delete-prev-word", NULL);
	el_set(ed->el, EL_GETCFN, get_key);
}

/* In pages of as many lines as `terminal length` says. */
static int run_line(struct session *s, const char *line, struct err *e)
{
	FILE *out = s->out;
	struct words w;
	bool paged;
	int rc;

	words_cut(&w, line);
	paged = s->length > 1 && !session_goes_on(s, (const char *const *)w.text, w.n);
	words_fini(&w);
	if (!paged)
		return session_line(s, line, e);
	s->out = pager_open(out, s->length - 1);
	/* Tables do not see the terminal behind it. */
	grid_width(s->width ? s->width : (int)terminal_width());
	rc = session_line(s, line, e);
	fclose(s->out);
	s->out = out;
	grid_width(s->width);
	return rc;
}

static char *ask_password(void *arg)
{
	struct session *s = arg;
	CLEANUP_FREE char *question = credentials_question(s->credentials);

	return editor_ask(NULL, question, true);
}

int editor_run(struct session *s)
{
	struct editor ed = { .session = s };
	struct err e;
	int n, rc;

	interrupt_catch();
	history_open(&ed);
	editor_open(&ed);
	s->ask = editor_ask;
	s->history = history_list;
	s->arg = &ed;
	client_ask_password(s->client, ask_password, s);
	while (!s->ended) {
		CLEANUP_FREE char *line = NULL;
		const char *typed;

		free(ed.prompt);
		ed.prompt = session_prompt(s);
		ed.dropped = false;
		/* Before the prompt: keys that follow it at once are ours, not the terminal's. */
		el_set(ed.el, EL_PREP_TERM, 1);
		typed = el_gets(ed.el, &n);
		/* Also of a line in which nothing stood. */
		if (ed.dropped)
			continue;
		if (!typed || n <= 0) {
			putchar('\n');
			/* Ctrl-D leaves a level; nothing is lost by it. */
			if (s->mode.n) {
				if (session_line(s, "exit", &e) < 0)
					fprintf(stderr, "%s\n", err_line(&e));
				if (isatty(STDIN_FILENO) && !feof(stdin))
					continue;
			}
			break;
		}
		line = xstrndup(typed, strcspn(typed, "\r\n"));
		rc = run_line(s, line, &e);
		fflush(s->out);
		/* Behind the ^C of the terminal. */
		if (interrupt_seen() || rc == -EINTR)
			fputc('\n', stderr);
		interrupt_forget();
		if (rc < 0) {
			text_clean(e.text);
			fprintf(stderr, "%s\n", err_line(&e));
		}
		if (line[strspn(line, " \t")] && !s->secret && !names_secret(s, line))
			history_keep(&ed, line);
	}
	el_end(ed.el);
	history_end(ed.history);
	free(ed.prompt);
	free(ed.file);
	s->ask = NULL;
	s->history = NULL;
	client_ask_password(s->client, NULL, NULL);
	return 0;
}

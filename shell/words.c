#include "shell/words.h"

#include <strings.h>

#include "base/base.h"
#include "base/buf.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void add(struct words *w, const char *text, size_t at, bool here)
{
	w->text = xrealloc(w->text, (w->n + 2) * sizeof(*w->text));
	w->at = xrealloc(w->at, (w->n + 1) * sizeof(*w->at));
	w->here = xrealloc(w->here, (w->n + 1) * sizeof(*w->here));
	w->here[w->n] = here;
	w->text[w->n] = xstrdup(text);
	w->at[w->n++] = at;
	w->text[w->n] = NULL;
}

/* The word at P, without its quotes, into B; the answer is where it ends. */
static const char *cut(struct words *w, const char *p, struct buf *b, bool *quoted)
{
	char quote = 0;

	for (; *p && (quote || !is_blank(*p)); p++) {
		if (*p == '\\' && quote != '\'') {
			*quoted = true;
			if (!p[1]) {
				w->open = quote ? quote : '\\';
				return p + 1;
			}
			buf_put(b, ++p, 1);
		} else if (quote ? *p == quote : *p == '"' || *p == '\'') {
			quote = quote ? 0 : *p;
			*quoted = true;
		} else {
			buf_put(b, p, 1);
		}
	}
	w->open = quote;
	return p;
}

void words_cut(struct words *w, const char *line)
{
	const char *p = line;

	*w = (struct words){ .between = true, .pipe = (size_t)-1, .text = xcalloc(1, sizeof(*w->text)) };
	for (;;) {
		struct buf b = BUF_INIT;
		bool quoted = false;
		const char *begin;

		while (is_blank(*p))
			p++;
		if (!*p || *p == '#')
			break;
		begin = p;
		p = cut(w, p, &b, &quoted);
		if (!quoted && b.len == 1 && *b.data == '|' && w->pipe == (size_t)-1)
			w->pipe = w->n;
		add(w, b.len ? buf_cstr(&b) : "", (size_t)(begin - line), b.len > 2 && !strncmp(begin, "<<", 2));
		buf_fini(&b);
		w->between = *p != '\0';
	}
	if (w->pipe == (size_t)-1)
		w->pipe = w->n;
}

void words_fini(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->text[i]);
	free(w->text);
	free(w->at);
	free(w->here);
	*w = (struct words){ 0 };
}

char *words_quoted(const char *text)
{
	struct buf b = BUF_INIT;
	char *s;

	if (*text && *text != '#' && *text != '<' && !strpbrk(text, " \t\r\n\"'\\?|"))
		return xstrdup(text);
	buf_puts(&b, "\"");
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_puts(&b, "\\");
		buf_put(&b, p, 1);
	}
	buf_puts(&b, "\"");
	s = xstrdup(buf_cstr(&b));
	buf_fini(&b);
	return s;
}

int words_choose(const char *word, size_t n, const char *(*name)(const void *arg, size_t i), const void *arg)
{
	size_t len = strlen(word);
	int found = -1;

	for (size_t i = 0; i < n; i++) {
		const char *one = name(arg, i);

		if (!strcasecmp(one, word))
			return (int)i;
		if (len && !strncasecmp(one, word, len))
			found = found == -1 ? (int)i : -2;
	}
	return found;
}

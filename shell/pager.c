#include "shell/pager.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/base.h"
#include "shell/interrupt.h"

static const char question[] = "--More--";

struct pager {
	FILE *out;
	int length, left; /* lines until the next question */
	bool whole, ended;
};

/* A key of the terminal, without Enter behind it; 'q' when there is none. */
static char key(void)
{
	struct termios was, raw;
	char c = 'q';
	bool changed = tcgetattr(STDIN_FILENO, &was) == 0;

	if (changed) {
		raw = was;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw.c_cc[VMIN] = 1;
		raw.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	}
	if (!interrupt_wait(STDIN_FILENO) || read(STDIN_FILENO, &c, 1) != 1)
		c = 'q';
	if (changed)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &was);
	return c;
}

static void ask(struct pager *p)
{
	fputs(question, p->out);
	fflush(p->out);
	for (;;) {
		switch (key()) {
		case 'q':
		case 'Q':
			p->ended = true;
			break;
		case 'G':
			p->whole = true;
			break;
		case '\r':
		case '\n':
			p->left = 1;
			break;
		case ' ':
		case 'f':
			p->left = p->length;
			break;
		default:
			continue;
		}
		break;
	}
	/* The question was no part of the answer. */
	fprintf(p->out, "\r%*s\r", (int)strlen(question), "");
}

static ssize_t put(void *arg, const char *text, size_t size)
{
	struct pager *p = arg;

	for (size_t at = 0; at < size && !p->ended;) {
		const char *end = memchr(text + at, '\n', size - at);
		size_t len = end ? (size_t)(end - text) - at + 1 : size - at;

		/* Before the line, so that nothing is asked behind the last one. */
		if (!p->left && !p->whole)
			ask(p);
		if (p->ended)
			break;
		fwrite(text + at, 1, len, p->out);
		p->left -= end && !p->whole;
		at += len;
	}
	fflush(p->out);
	return (ssize_t)size;
}

static int end(void *arg)
{
	free(arg);
	return 0;
}

FILE *pager_open(FILE *out, int length)
{
	struct pager *p = xcalloc(1, sizeof(*p));
	FILE *f;

	*p = (struct pager){ .out = out, .length = length, .left = length };
	f = fopencookie(p, "w", (cookie_io_functions_t){ .write = put, .close = end });
	must(f);
	return f;
}

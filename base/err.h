/*
 * err - what went wrong, for a human: a code, the path of the field, a sentence.
 *
 * Functions whose failure somebody will read take a `struct err *` as their
 * last parameter and return 0 or a negative errno. The same struct becomes
 * the REST error body, the shell's line and the form's red text. A NULL
 * `struct err *` is legal everywhere and swallows the text, not the code.
 */
#ifndef SPANWIRE_BASE_ERR_H
#define SPANWIRE_BASE_ERR_H

struct err {
	int code;        /* negative errno; 0: no error */
	char path[192];  /* "clone_servers[2].mac"; "" when no field is at fault */
	char text[512];  /* one sentence, without the path and without a newline */
};

/*
 * Fill E and return CODE, so that `return err_set(e, -EINVAL, ...)` reads well.
 * PATH may be NULL. An error that is already set is overwritten. Control characters and broken UTF-8 of what is quoted
 * become question marks.
 */
int err_set(struct err *e, int code, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * What would break a log line, a terminal or JSON becomes question marks: control characters, and UTF-8 that is broken or
 * was cut. For texts in a buffer that quote strangers.
 */
void text_clean(char *s);

/* Put "PREFIX." (or "PREFIX" before a "[") in front of the path of E. */
void err_within(struct err *e, const char *prefix);

/* The whole as one line: "path: text" or "text". Borrowed, per thread, until the next call. */
const char *err_line(const struct err *e);

#endif

#include "base/log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

#define JOURNAL "/run/systemd/journal/socket"

static const char *log_program = "spanwire";
static enum log_level log_max = LOG_LEVEL_INFO;
static int log_journal = -1;

/* JOURNAL_STREAM is "device:inode" of the stream that the journal reads: is that our stderr? */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_init(const char *program)
{
	static const struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = JOURNAL };

	log_program = program;
	if (log_journal >= 0 || !stderr_is_journal())
		return;
	/* Made now: the proxy may make no such socket later. libsystemd would do it at the first line. */
	log_journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (log_journal >= 0 && connect(log_journal, (const struct sockaddr *)&at, sizeof(at)) < 0) {
		close(log_journal);
		log_journal = -1;
	}
}

void log_set_level(enum log_level level)
{
	log_max = level;
}

/* Goes behind `key=value` at *P; false: that is no such pair, and *P goes behind the word. */
static bool take_pair(const char **p, const char **key, size_t *key_len, const char **value,
		      size_t *value_len)
{
	const char *s = *p;

	*key = s;
	while (islower((unsigned char)*s) || isdigit((unsigned char)*s) || *s == '_')
		s++;
	*key_len = (size_t)(s - *key);
	if (*s != '=' || !*key_len || !islower((unsigned char)**key)) {
		*p = s + strcspn(s, " ");
		return false;
	}
	s++;
	if (*s == '"' && strchr(s + 1, '"')) {
		*value = ++s;
		*value_len = strcspn(s, "\"");
		s += *value_len + 1;
	} else {
		*value = s;
		*value_len = strcspn(s, " ");
		s += *value_len;
	}
	*p = s;
	return true;
}

void log_journal_entry(struct buf *out, enum log_level level, const char *program, const char *line)
{
	const char *p = line, *key, *value;
	size_t key_len, value_len, event = strcspn(line, " ");

	buf_printf(out, "PRIORITY=%d\nSYSLOG_IDENTIFIER=spanwire-%s\nMESSAGE=", level, program);
	buf_puts(out, line);
	buf_puts(out, "\n");
	if (!memchr(line, '=', event))
		buf_printf(out, "SPANWIRE_EVENT=%.*s\n", (int)event, line);
	while (*p) {
		if (take_pair(&p, &key, &key_len, &value, &value_len)) {
			buf_puts(out, "SPANWIRE_");
			for (size_t i = 0; i < key_len; i++)
				buf_printf(out, "%c", toupper((unsigned char)key[i]));
			buf_printf(out, "=%.*s\n", (int)value_len, value);
		}
		p += strspn(p, " ");
	}
}

static bool sent_to_journal(enum log_level level, const char *line)
{
	struct buf entry = BUF_INIT;
	bool sent;

	if (log_journal < 0)
		return false;
	log_journal_entry(&entry, level, log_program, line);
	sent = send(log_journal, entry.data, entry.len, MSG_NOSIGNAL) >= 0;
	buf_fini(&entry);
	return sent;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[2048];
	va_list ap;
	int n, begin;

	if (level > log_max)
		return;
	begin = snprintf(line, sizeof(line), "%s: ", log_program);
	va_start(ap, fmt);
	n = vsnprintf(line + begin, sizeof(line) - (size_t)begin - 1, fmt, ap);
	va_end(ap);
	n = begin + MAX(n, 0);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n] = '\0';
	text_clean(line); /* what is quoted makes no lines of its own */
	if (sent_to_journal(level, line + begin))
		return;
	line[n++] = '\n';
	/* A log that cannot be written has nobody to be told to. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

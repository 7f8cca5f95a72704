/*
 * log - lines for the operator: rare, event name first, then key=value pairs.
 *
 * A line goes to standard error as one write(2), so that lines of several
 * processes never mix. When standard error is the journal it goes there by the
 * journal's own protocol, with fields: SPANWIRE_EVENT and one for each pair,
 * `vip=10.0.0.1` as SPANWIRE_VIP. Values with blanks are quoted by the caller's
 * format. Secrets are never logged. Request logs are data, not log lines.
 */
#ifndef SPANWIRE_BASE_LOG_H
#define SPANWIRE_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

struct buf;

/* Name that starts each line ("controller", "warden", "proxy"). Borrowed for ever. */
void log_init(const char *program);
/* Lines above LEVEL are dropped; the start value is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* LINE ("event key=value key=\"two words\"") as a datagram of the journal's protocol, into OUT. */
void log_journal_entry(struct buf *out, enum log_level level, const char *program, const char *line);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif

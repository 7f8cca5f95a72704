/*
 * proc - files below /proc, read whole, and their lines of the form "NAME: value".
 */
#ifndef SPANWIRE_BASE_PROC_H
#define SPANWIRE_BASE_PROC_H

#include <stdint.h>

/* The file at that path; "" when it cannot be read. Caller frees. */
char *proc_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* What stands behind "NAME:" where a line of TEXT begins with it, after blanks; NULL: no line does. */
const char *proc_line(const char *text, const char *name);
/* The number there; 0 when there is none. */
uint64_t proc_number(const char *text, const char *name);

#endif

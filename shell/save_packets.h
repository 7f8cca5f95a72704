/*
 * save packets - a capture of what was: `save packets SERVICE [--seconds N] [--request ID] [--reason TEXT] [-w FILE]`.
 */
#ifndef SPANWIRE_SHELL_SAVE_PACKETS_H
#define SPANWIRE_SHELL_SAVE_PACKETS_H

#include "shell/session.h"

int save_packets(struct session *s, const char *const *words, size_t n, struct err *e);

#endif

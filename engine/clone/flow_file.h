/*
 * flow_file - lines of the proxy into files, without anybody waiting for a disk.
 *
 * Each file has a thread at one end of a socket pair; the proxy is given the other end and sends a line a message
 * (engine/clone/flow_log.h). The pair's buffer is the queue: when the disk is slow it is full, and the proxy counts what it
 * could not send. What the disk refuses is counted here. A file that was renamed or removed is made anew, so that
 * whoever rotates logs needs no signal. Files are the warden's alone (0600).
 */
#ifndef SPANWIRE_ENGINE_CLONE_FLOW_FILE_H
#define SPANWIRE_ENGINE_CLONE_FLOW_FILE_H

#include <stdint.h>

#include "base/err.h"

struct flow_files;

/* In FOLDER, which is made when it is needed; copied. */
struct flow_files *flow_files_new(const char *folder);
/* When the proxy is gone. Waits for what it still sent to be written. */
void flow_files_free(struct flow_files *f);
/* The end for the proxy; it stays the files'. -errno with a sentence. */
int flow_files_open(struct flow_files *f, const char *name, struct err *e);
/* Lines that the disk did not take, ever. */
uint64_t flow_files_lost(const struct flow_files *f);

#endif

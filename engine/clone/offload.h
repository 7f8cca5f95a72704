/*
 * offload - checksum offload that is taken from interfaces while only copies leave by them, and put back.
 *
 * What was taken is also in a file, written before anything is changed: an engine that was killed has its successor put
 * it back. After a reboot the file says nothing: interfaces begin as they are. One per process.
 */
#ifndef SPANWIRE_ENGINE_CLONE_OFFLOAD_H
#define SPANWIRE_ENGINE_CLONE_OFFLOAD_H

#include <stdbool.h>

/* Puts back what an earlier run left, and remembers in PATH from now on. Without it nothing is remembered. */
void offload_begin(const char *path);
/* Off; *HAD: it was on, and is to be put back. */
int offload_take(const char *interface, bool *had);
int offload_give_back(const char *interface);
/* Checksums (and with them segmentation) of what leaves by NAME: by the device or by the kernel; *WAS may be NULL. */
int offload_set(const char *name, bool on, bool *was);
/* It cannot be changed there. */
bool offload_is_fixed(const char *name);

#endif

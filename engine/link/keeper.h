/*
 * keeper - keeps the newest text in a file, and never makes anybody wait for the disk.
 *
 * A thread of its own replaces the file (file_replace). When texts come faster
 * than the disk takes them, those in between are passed over. What could not be written (a full disk) is said
 * in the log and tried again every two seconds.
 */
#ifndef SPANWIRE_ENGINE_LINK_KEEPER_H
#define SPANWIRE_ENGINE_LINK_KEEPER_H

struct keeper;

/* The file's mode is 0600. */
struct keeper *keeper_new(const char *path);
/* Takes TEXT (of malloc). */
void keeper_put(struct keeper *k, char *text);
/* Waits until the newest text is on the disk. */
void keeper_free(struct keeper *k);

#endif

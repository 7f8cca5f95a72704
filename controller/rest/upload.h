/*
 * upload - a file of a client on its way to the disk: a part `file` of a multipart body.
 *
 * The core begins it, when the head of a request has come and the caller may upload; the API's
 * thread feeds it; the core stores it under its name or frees it. What arrives goes to a file that
 * has no name in the tree yet, so that nobody sees half of one and a crash leaves nothing.
 *
 * The tree is DATA/files/TENANT/DIR/.../NAME. It has a budget, and it leaves room on the disk for
 * the store. No name that a client sends can leave its tenant's folder: names are checked, and the
 * tree is walked a folder at a time without following links.
 */
#ifndef SPANWIRE_CONTROLLER_REST_UPLOAD_H
#define SPANWIRE_CONTROLLER_REST_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

#define FILE_BYTES_MAX	(2ULL << 30) /* of one file */
#define FILES_BYTES_MAX (8ULL << 30) /* of all */

enum { FILES_MAX = 10000, FILE_PATH_MAX = 512, FILE_DEPTH_MAX = 16 };

struct files;
struct upload;

int files_open(const char *data, struct files **out, struct err *e);
void files_close(struct files *f);

/*
 * PATH: "dir/name", relative to the folder of TENANT. -EINVAL: no such path is possible; -ENOENT;
 * each with a sentence.
 */
int files_make_folder(struct files *f, const char *tenant, const char *path, struct err *e);
/* An open descriptor; -EISDIR for a folder. */
int files_get(struct files *f, const char *tenant, const char *path, uint64_t *size, struct err *e);
/* [{"name", "uri", "size", "type", "modified"}], by name; of a folder or of one file. */
int files_list(struct files *f, const char *tenant, const char *path, json_t **out, struct err *e);
/* -EBUSY: a folder with something in it. */
int files_delete(struct files *f, const char *tenant, const char *path, struct err *e);
/* All of a tenant who is gone. */
void files_forget(struct files *f, const char *tenant);

/* LENGTH: of the whole body; 0: not said. -EFBIG, -ENOSPC, -EINVAL with a sentence. */
int upload_begin(struct files *f, const char *content_type, uint64_t length, struct upload **out,
		 struct err *e);
/* Errors are kept until upload_store(). */
void upload_feed(struct upload *u, const char *data, size_t len);
/* A field of the form that came with the file; NULL: there was none. */
const char *upload_field(const struct upload *u, const char *name);
/* The file's name without the folders that its sender has it in; "" until it has come. */
const char *upload_name(const struct upload *u);
/* Another name for it. -EINVAL with a sentence. */
int upload_rename(struct upload *u, const char *name, struct err *e);
uint64_t upload_size(const struct upload *u);
/* Is the body whole, and all of it on the disk? */
int upload_check(struct upload *u, struct err *e);
/* Instead of storing it: what the file holds, a NUL behind it, for the caller to free. -EFBIG above MAX. */
int upload_text(struct upload *u, size_t max, char **out, size_t *len, struct err *e);
/* Slow: durable when it returns 0. A file of that name is replaced. */
int upload_store(struct upload *u, const char *tenant, const char *folder, struct err *e);
void upload_free(struct upload *u);

#endif

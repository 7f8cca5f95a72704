/*
 * model - the object kinds as tables, and what can be done with any of them.
 *
 * model/kinds/ holds one table per kind: a line per field with its type,
 * limits, default, help and flags. From these lines come the descriptors here, the C
 * structs of model/structs.h, the reference manual, /api/model and OpenAPI.
 * Nothing in this header knows a kind by name.
 *
 * Three forms of an object:
 *   wire    what a client sends or receives (JSON; refs are URLs or names);
 *   stored  canonical JSON of what was set, refs as "/api/KIND/UUID", no
 *           defaults filled in, no url, no runtime state;
 *   struct  read-only C struct in an arena, defaults filled in (model_load).
 */
#ifndef SPANWIRE_MODEL_MODEL_H
#define SPANWIRE_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

enum field_type { FT_BOOL, FT_INT, FT_FLOAT, FT_STR, FT_ENUM, FT_REF, FT_MSG };

enum field_flags {
	F_REQUIRED = 1 << 0,
	F_KEY = 1 << 1,        /* identifies an item of its list: PATCH add/delete match by it */
	F_SECRET = 1 << 2,     /* never answered, never logged */
	F_READONLY = 1 << 3,   /* accepted from a client and ignored */
	F_IMMUTABLE = 1 << 4,  /* fixed after creation */
	F_DANGEROUS = 1 << 5,  /* inert, and to be refused rather than ignored */
	F_EXTENSION = 1 << 6,  /* not part of the Avi contract */
	F_LIST = 1 << 7,
	F_INERT = 1 << 8,      /* checked, stored, returned; without effect yet; no C member */
	F_DEPRECATED = 1 << 9,
};

/* What a change of the field costs a running engine; the greatest of a change counts. */
enum apply_class { APPLY_NONE, APPLY_NEXT_CONN, APPLY_NOW, APPLY_BPF, APPLY_REBIND };

struct message_desc;

struct field_desc {
	const char *name;
	const char *help;            /* one or more sentences, ends with a period */
	enum field_type type;
	unsigned flags;
	enum apply_class apply;
	const struct message_desc *msg; /* FT_MSG */
	const char *ref;             /* FT_REF: path of the kind that is referred to ("pool") */
	const char *dflt;            /* as text; NULL: none */
	const char *values;          /* FT_ENUM: "A|B|C" in the contract's order */
	const char *later;           /* FT_ENUM: "B|C", values that are refused because not built yet */
	int64_t min, max;            /* FT_INT and FT_FLOAT, when min < max; FT_STR: max length in bytes, 0: 4096 */
	const char *special;         /* FT_INT: values allowed outside the range: "0", "0,-1" */
	const char *one_of;          /* FT_INT: "0,1,2,4,8,16": only these */
	const char *unit;            /* "SEC", "MILLISECONDS", ... or NULL */
	unsigned min_items, max_items; /* F_LIST; max 0: no limit but the body's */
	size_t offset, count_offset, has_offset; /* in the struct; SIZE_MAX: no such member */
	size_t item_size;            /* sizeof one list item in the struct */
};

struct message_desc {
	const char *name;            /* as the contract calls it: "TrafficCloneProfile" */
	const char *help;
	const struct field_desc *fields;
	size_t n_fields;
	size_t size;                 /* of the C struct */
};

enum kind_flags {
	K_TENANT = 1 << 0,           /* belongs to a tenant: tenant_ref is filled in */
	K_CLOUD = 1 << 1,            /* belongs to a cloud: cloud_ref is filled in */
	K_SINGLETON = 1 << 2,        /* one object: GET and PUT on the bare path */
	K_READONLY = 1 << 3,         /* clients may only read (system roles until they are editable) */
	K_RUNTIME = 1 << 4,          /* not stored: what controller and engines say to each other */
	K_NO_CREATE = 1 << 5,        /* made by the system; clients read and PUT (serviceengine) */
};

struct kind_desc {
	const char *path;            /* "virtualservice": the API path and the uuid's prefix */
	const char *help;
	unsigned flags;
	const struct message_desc *msg;
	/* What one kind checks beyond its table, on the stored form; NULL: nothing. */
	int (*check)(const json_t *stored, struct err *e);
};

/* All kinds, in the order of model/kinds/all.def. */
extern const struct kind_desc *const model_kinds[];
extern const size_t model_n_kinds;

/* NULL when there is no such kind. */
const struct kind_desc *kind_find(const char *path);
const struct field_desc *field_find(const struct message_desc *m, const char *name);
/* For enum fields that have a C enum: value to text and back (-1: unknown). Tables in model/enums.def. */

/* ---- wire -> stored ------------------------------------------------- */

/*
 * Resolves references and checks what needs the store. `resolve` gets the text as sent (URL, "/api/pool?name=p",
 * "/api/pool/uuid#name", bare uuid) and writes the uuid; -ENOENT when there is none.
 */
struct model_resolver {
	int (*resolve)(struct model_resolver *r, const char *kind, const char *text, char *uuid, size_t size,
		       struct err *e);
	/* uuid -> name for `#name` suffixes; NULL when unknown. Borrowed until the next call. */
	const char *(*name)(struct model_resolver *r, const char *kind, const char *uuid);
};

struct model_notes {
	struct buf ignored;          /* "a,b.c": unknown fields that were dropped */
	struct buf inert;            /* "d,e[0].f": inert fields set to something else than their default */
};
#define MODEL_NOTES_INIT { BUF_INIT, BUF_INIT }
void model_notes_fini(struct model_notes *n);

enum model_read_flags {
	MODEL_STRICT = 1 << 0,       /* unknown fields are an error that names the nearest known one */
};

/*
 * Validate and canonicalise a whole object. Numbers and booleans may come as strings; read-only fields and url are
 * dropped; null is refused; refs are resolved. *OUT is a new reference. -EINVAL with path and sentence,
 * -ENOENT for a reference that cannot be resolved ("Pool object not found"), -EINVAL for a dangerous inert field or
 * an enum value that is not built yet.
 */
int model_read(const struct kind_desc *k, const json_t *wire, unsigned flags, struct model_resolver *r,
	       json_t **out, struct model_notes *notes, struct err *e);

/*
 * PATCH: {"add": {...}, "replace": {...}, "delete": {...}} on a stored object; the result goes through model_read's
 * checks. List items match by their F_KEY fields (server: ip+port), else by equality.
 */
int model_patch(const struct kind_desc *k, const json_t *stored, const json_t *patch, unsigned flags,
		struct model_resolver *r, json_t **out, struct model_notes *notes, struct err *e);

/* ---- stored -> wire -------------------------------------------------- */

struct model_write {
	const char *base_url;        /* "https://host:port", from the request's Host */
	bool include_name;           /* `#name` on refs (and on url when name_in_url) */
	bool name_in_url;
	bool skip_default;
	bool secrets;                /* only for the store's and engines' own use */
};

/* All set fields and defaults, url/uuid/name/tenant_ref/cloud_ref first. New reference; cannot fail. */
json_t *model_write(const struct kind_desc *k, const json_t *stored, const struct model_write *w,
		    struct model_resolver *r);

/* ---- struct ----------------------------------------------------------- */

/*
 * Build the C struct of the message from a stored object: zeroed memory of ARENA, defaults filled in. Strings and
 * lists live in the arena. Refs are uuids. Never fails on what model_read made; must() otherwise.
 */
void *model_load(const struct message_desc *m, const json_t *stored, struct arena *a);

/* ---- questions -------------------------------------------------------- */

/* Call F for each reference of a stored object with its path, kind and uuid; stops and returns F's non-zero answer. */
int model_refs(const struct kind_desc *k, const json_t *stored,
	       int (*f)(void *arg, const char *path, const char *kind, const char *uuid), void *arg);

/* Greatest apply class of what differs; APPLY_NONE when equal. PATHS (may be NULL) gets "a,b[2].c". */
enum apply_class model_diff(const struct kind_desc *k, const json_t *old, const json_t *new, struct buf *paths);

/* Does a stored object match FIELD=VALUE of a query ("name=x", "cloud_ref.name=y", "enabled=true")? */
bool model_match(const struct kind_desc *k, const json_t *stored, const char *field, const char *value,
		 struct model_resolver *r);

/* Contents of GET /api/model: every kind, message and field, as data. New reference. */
json_t *model_describe(void);

/* Nearest known name, for "did you mean"; NULL when nothing is near. */
const char *model_nearest(const char *name, const char *const *known, size_t n);

#endif

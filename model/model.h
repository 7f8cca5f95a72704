/*
 * model - the object kinds as tables, and what can be done with any of them.
 *
 * model/kinds/ holds one table per kind: a line per field with its type, limits, default, help
 * and flags. From these lines come the descriptors here, the C structs of model/structs.h, the
 * reference manual, /api/model and OpenAPI. docs/model.md says how to read and write them. Nothing
 * in this header knows a kind by name.
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

/* clang-format off */

enum field_type { FT_BOOL, FT_INT, FT_FLOAT, FT_STR, FT_ENUM, FT_REF, FT_MSG };

enum field_flags {
	F_REQUIRED = 1 << 0,
	F_KEY = 1 << 1,          /* identifies an item of its list: PATCH add/delete match by it */
	F_SECRET = 1 << 2,       /* never answered, never logged */
	F_READONLY = 1 << 3,     /* accepted from a client and ignored */
	F_IMMUTABLE = 1 << 4,    /* fixed after creation */
	F_DANGEROUS = 1 << 5,    /* not built, and refused when set to other than the default */
	F_EXTENSION = 1 << 6,    /* not part of the Avi contract */
	F_DEPRECATED = 1 << 7,
	F_ALWAYS = 1 << 8,       /* the struct's pointer is never NULL: unset is all defaults */
	F_LATER_STORED = 1 << 9, /* what is not built is stored, and refused at the use: model_later() */
	F_SHOWN = 1 << 10,       /* a message that answers always have: clients set members of it without looking */
	F_PASSED_OVER = 1 << 11, /* words that are not built are passed over where others stand in the list: model_later() */
};

/* Bounds of an integer where min and max do not say any. */
enum int_width { W_INT32, W_UINT32, W_INT64, W_UINT64 };
/* What a string must look like. */
enum str_format { STR_ANY, STR_IP, STR_MAC, STR_FILTER /* base/filter.h */ };

/* What a change of the field costs a running engine; the greatest of a change counts. */
enum apply_class { APPLY_NONE, APPLY_NEXT_CONN, APPLY_NOW, APPLY_BPF, APPLY_REBIND };

struct message_desc;

struct field_desc {
	const char *name;
	const char *help;      /* sentences; "" for inert fields that nobody explained */
	enum field_type type;
	enum int_width width;  /* FT_INT */
	enum str_format format; /* FT_STR */
	bool list;
	bool inert;            /* checked, stored, returned; without effect yet */
	unsigned flags;
	enum apply_class apply;
	const struct message_desc *msg; /* FT_MSG */
	const char *ref;       /* FT_REF: path of the kind that is referred to ("pool") */
	/*
	 * Default as text; NULL: none; FT_REF: a name. That of a required field or a reference
	 * is filled in by model_read(), all others only in answers and structs.
	 */
	const char *dflt;
	const char *dflt_from; /* path in the same message whose value is the default: "ip.addr" */
	const char *values;    /* FT_ENUM: "A, B, C" in the contract's order (word_next) */
	const char *built;     /* FT_ENUM: the words that are built; NULL: all */
	const char *why;       /* F_DANGEROUS: sentence of the refusal; NULL: a general one */
	const char *old_key;   /* lists: items may come as {OLD_KEY: item} from old clients */
	int64_t min, max;      /* FT_INT, FT_FLOAT: when min < max; FT_STR: max bytes, 0: 4096 */
	const char *special;   /* FT_INT: allowed outside the range: "0", "0,-1" */
	const char *one_of;    /* FT_INT: only these: "0,1,2,4,8,16" */
	const char *unit;      /* "SEC", "MILLISECONDS", ... or NULL */
	unsigned min_items, max_items; /* lists; max 0: no limit but the body's */
	size_t offset, count_offset, has_offset; /* in the struct; NO_MEMBER: none */
	size_t item_size;      /* sizeof the member, or one item of a list */
};

#define NO_MEMBER SIZE_MAX

struct message_desc {
	const char *name;      /* as the contract calls it: "TrafficCloneProfile" */
	const char *help;
	const struct field_desc *fields;
	size_t n_fields;
	size_t size;           /* of the C struct */
	/* What the message checks beyond its table, on the stored form; NULL: nothing. */
	int (*check)(const json_t *stored, struct err *e);
};

enum kind_flags {
	K_TENANT = 1 << 0,     /* belongs to a tenant: tenant_ref is filled in */
	K_CLOUD = 1 << 1,      /* belongs to a cloud: cloud_ref is filled in */
	K_SINGLETON = 1 << 2,  /* one object: GET and PUT on the bare path */
	K_READONLY = 1 << 3,   /* clients may only read */
	K_RUNTIME = 1 << 4,    /* not stored: what controller and engines say to each other */
	K_NO_CREATE = 1 << 5,  /* made by the system; clients read and PUT (serviceengine) */
};

struct kind_desc {
	const char *path;      /* "virtualservice": the API path and the uuid's prefix */
	const char *help;
	unsigned flags;
	const char *of;        /* exists once for each object of that kind, under its uuid; or NULL */
	const struct message_desc *msg;
	/* What one kind checks beyond its table, on the stored form; NULL: nothing. */
	int (*check)(const json_t *stored, struct err *e);
	/* What a change of one kind's object must respect; NULL: nothing. */
	int (*check_change)(const json_t *old, const json_t *fresh, struct err *e);
};

/* clang-format on */

/* All kinds, in the order of model/kinds/all.def. */
extern const struct kind_desc *const model_kinds[];
extern const size_t model_n_kinds;

/* NULL when there is no such kind. */
const struct kind_desc *kind_find(const char *path);
const struct field_desc *field_find(const struct message_desc *m, const char *name);

/*
 * Words: "A, B, C". The constants of `enum x` in model/structs.h count the words of `words_x`:
 * word_index(words_lb_algorithm, "LB_ALGORITHM_ROUND_ROBIN") == LB_ALGORITHM_ROUND_ROBIN.
 */
int word_index(const char *words, const char *word); /* -1: not one of them */
/* Not terminated; NULL: there is no such word. */
const char *word_at(const char *words, int index, size_t *len);
/* Steps through WORDS; false at the end. */
bool word_next(const char **words, const char **word, size_t *len);

/* ---- wire -> stored ------------------------------------------------- */

struct model_resolver {
	/*
	 * A reference as it was sent (URL, "/api/pool?name=p", "/api/pool/uuid#name", bare uuid)
	 * becomes a uuid; -ENOENT when there is none, or no such kind here.
	 */
	int (*resolve)(struct model_resolver *r, const char *kind, const char *text, char *uuid,
		       size_t size, struct err *e);
	/* uuid -> name; NULL when unknown. Borrowed until the next call. */
	const char *(*name)(struct model_resolver *r, const char *kind, const char *uuid);
};

/* What a reader of the answer should know; printable ASCII, fit for a header. */
struct model_notes {
	struct buf ignored; /* "a,b.c": unknown fields that were dropped */
	struct buf inert;   /* "d,e[0].f": inert fields set to other than their default */
	struct buf warnings; /* sentences: it is stored, and cannot work now */
};
#define MODEL_NOTES_INIT { BUF_INIT, BUF_INIT, BUF_INIT }
void model_notes_fini(struct model_notes *n);

enum model_read_flags {
	/* Unknown fields are an error that names the nearest known one. */
	MODEL_STRICT = 1 << 0,
	/* What is not built may be set: for the system's own objects. */
	MODEL_ALLOW_LATER = 1 << 1,
};

/*
 * Validate and canonicalise a whole object. Numbers and booleans may come as strings; read-only
 * fields are dropped; null is nothing where an object, a list or a reference may be, and refused
 * elsewhere; refs are resolved (without a resolver they must be in the stored form). *OUT is a new reference. -EINVAL with path and sentence, also for
 * what is not built; -ENOENT for a reference that cannot be resolved ("Pool object not found").
 */
int model_read(const struct kind_desc *k, const json_t *wire, unsigned flags,
	       struct model_resolver *r, json_t **out, struct model_notes *notes, struct err *e);

/*
 * What of a stored object is not built yet: a word of an enum, a dangerous field. -EINVAL with its
 * path and a sentence, 0: nothing. For objects that may be stored but not used: the profiles and
 * monitors that a virtual service or pool is going to use.
 */
int model_later(const struct kind_desc *k, const json_t *stored, struct err *e);

/*
 * FRESH is going to replace OLD: keeps the old secrets where FRESH has "<sensitive>", and refuses a
 * change of what is fixed after creation. An immutable field that FRESH leaves out is kept. OLD may
 * be NULL: "<sensitive>" goes.
 */
int model_replace(const struct kind_desc *k, const json_t *old, json_t *fresh, struct err *e);

/*
 * PATCH: {"add": {...}, "replace": {...}, "delete": {...}} on a stored object, which stays as it
 * is; the result goes through model_read()'s checks and model_replace(). List items match by
 * their F_KEY fields (server: ip and port), else by equality.
 */
int model_patch(const struct kind_desc *k, const json_t *stored, const json_t *patch,
		unsigned flags, struct model_resolver *r, json_t **out, struct model_notes *notes,
		struct err *e);

/* Is there nothing in a stored object but its identity, its place and defaults? */
bool model_is_default(const struct kind_desc *k, const json_t *stored);

/* ---- stored -> wire -------------------------------------------------- */

struct model_write {
	const char *base_url; /* "https://host:port", from the request's Host */
	bool include_name;    /* `#name` on refs (and on url when name_in_url) */
	bool name_in_url;
	bool skip_default;
	bool secrets;         /* only for the store's and engines' own use */
};

/* All set fields and defaults, url/uuid/name/tenant_ref/cloud_ref first. New; cannot fail. */
json_t *model_write(const struct kind_desc *k, const json_t *stored, const struct model_write *w,
		    struct model_resolver *r);

/* ---- struct ----------------------------------------------------------- */

/*
 * Build the C struct of the message from a stored object (NULL: of an empty one): zeroed memory of
 * ARENA, defaults filled in. Strings and lists live in the arena. Refs are uuids. Values that do
 * not fit, as those of another version, count as unset.
 */
void *model_load(const struct message_desc *m, const json_t *stored, struct arena *a);

/* Would model_load() understand all of an object that came from elsewhere? Else -EINVAL. */
int model_fits(const struct kind_desc *k, const json_t *stored, struct err *e);

/* ---- questions -------------------------------------------------------- */

/* UUID of a stored reference "/api/KIND/UUID"; "" when STORED is NULL. Borrowed from it. */
const char *ref_target(const char *stored);

/*
 * Call F for each reference of a stored object with its path, kind and uuid; stops and returns F's
 * non-zero answer.
 */
int model_refs(const struct kind_desc *k, const json_t *stored,
	       int (*f)(void *arg, const char *path, const char *kind, const char *uuid),
	       void *arg);

/*
 * A copy of a stored object in which each secret that is set is what F makes of it (of malloc; PATH
 * as in "configs[2].password"): how secrets are sealed and opened. An object without secrets is itself.
 * New reference; NULL when F returned NULL.
 */
json_t *model_map_secrets(const struct kind_desc *k, const json_t *stored,
			  char *(*f)(void *arg, const char *path, const char *value), void *arg);

/*
 * Greatest apply class of what differs; APPLY_NONE when nothing with effect does. PATHS (may be
 * NULL) gets "a,b[2].c".
 */
enum apply_class model_diff(const struct kind_desc *k, const json_t *old, const json_t *new,
			    struct buf *paths);

/*
 * One condition of a query on objects of a kind: "name=x", "name.contains=x", "cloud_ref.name=y",
 * "servers.ip.addr=10.0.0.1", "default_server_port.gt=1000" (filter.c has the operators; defaults
 * count; of a list one item is enough). -EINVAL with a sentence: no such field or operator, or a
 * value that no field of this type can have. Secrets match nothing.
 */
struct model_filter;
int model_filter_new(const struct kind_desc *k, const char *field, const char *value,
		     struct model_filter **out, struct err *e);
void model_filter_free(struct model_filter *f);
bool model_filter_fits(const struct model_filter *f, const json_t *stored,
		       struct model_resolver *r);

/* Contents of GET /api/model: every kind, message and field, as data. New reference. */
json_t *model_describe(void);

/* Contents of GET /openapi.json. New reference. */
json_t *model_openapi(const char *version);

/* Nearest known name, for "did you mean"; NULL when nothing is near. */
const char *model_nearest(const char *name, const char *const *known, size_t n);

#endif

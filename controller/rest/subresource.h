/*
 * subresource - what other parts show below an object: GET /api/KIND/UUID/PATH.
 *
 * Placement and link register one entry per path: {"virtualservice", "runtime/detail"}. REST finds
 * the object, checks that the caller may read it, calls get(), and writes the answer; it does the
 * same for `?join_subresources=runtime` in collections. All on the core's thread.
 *
 *	static struct subresource runtime = { .kind = "virtualservice", .path = "runtime", .get = vs_runtime };
 *	runtime.arg = link;
 *	subresource_add(c->rest, &runtime);
 */
#ifndef SPANWIRE_CONTROLLER_REST_SUBRESOURCE_H
#define SPANWIRE_CONTROLLER_REST_SUBRESOURCE_H

#include "base/json.h"
#include "controller/store/store.h"

struct query;
struct request;
struct rest;

struct subresource_call {
	const struct object *object;
	const char *base_url; /* "https://host:port": refs in answers are absolute */
	bool include_name; /* `#name` on refs */
	const struct query *query; /* controller/rest/query.h */
	const json_t *body; /* of a POST; may be NULL */
};

/* A member of an action's body, as /api/model tells it: the type as those of fields. */
struct parameter {
	const char *name, *type, *ref, *help;
};

struct subresource {
	const char *kind;
	const char *path; /* without slashes at its ends */
	/* The answer, a new reference; NULL with E set: an error answer. NULL function: 405. */
	json_t *(*get)(void *arg, const struct subresource_call *call, struct err *e);
	/*
	 * A POST: actions such as "runtime/stats/clear". The caller was found to have the right to
	 * write.
	 */
	json_t *(*post)(void *arg, const struct subresource_call *call, struct err *e);
	/*
	 * In place of get(), where others must be asked first: subresource_answer() is called once,
	 * now or later. What CALL has is borrowed until it returns.
	 */
	void (*ask)(void *arg, const struct subresource_call *call, struct request *request);
	/* The same in place of post(). */
	void (*order)(void *arg, const struct subresource_call *call, struct request *request);
	void *arg;
	const struct parameter *parameters; /* of a POST, up to one without a name; may be NULL */
	struct subresource *next; /* REST's */
};

/* S stays the caller's and must outlive REST. */
void subresource_add(struct rest *r, struct subresource *s);

/* Adds to each kind of a model_describe() its `views` (paths) and `actions` (names, parameters). */
void subresource_describe(const struct rest *r, json_t *model);

/* ANSWER is taken; NULL: E says why. REQUEST is gone afterwards. */
void subresource_answer(struct request *request, json_t *answer, const struct err *e);

/*
 * A reference as answers show it: "https://host/api/KIND/UUID" or with "#NAME". New string value.
 */
json_t *subresource_ref(const struct subresource_call *call, const char *kind, const char *uuid,
			const char *name);

#endif

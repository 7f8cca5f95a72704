/*
 * handlers - what the route table (route.c) calls. Each answers its request now, or hands it to a
 * job that does.
 */
#ifndef SPANWIRE_CONTROLLER_REST_HANDLERS_H
#define SPANWIRE_CONTROLLER_REST_HANDLERS_H

#include "controller/change.h"
#include "controller/rest/request.h"
#include "controller/rest/rest.h"

/* Answered now, or (RESULT_LATER) by whoever got the request; then that one calls route_done(). */
enum result { RESULT_NOW, RESULT_LATER };
typedef enum result handler(struct request *q);
struct derived;
struct view;

/* login.c */
handler login, logout;
/* The cookies of a session live on with each answer. */
void login_renew(struct request *q, const struct session *x);
/* account.c */
handler useraccount_get, useraccount_put, user_write;
handler authorities_write;
handler certificate_write;
/* A macro about an object of K, whose certificates are made first; then macro_write_now(). */
enum result certificate_macro(struct request *q, const struct kind_desc *k, json_t *data);
void certificate_actions(struct rest *r);
/* user_token.c */
handler user_tenant_list, user_token_list, user_token_make, user_token_delete;
/* objects.c */
handler object_create, object_get, object_replace, object_patch, object_delete;
/* Methods of /api/KIND, or of ONE: /api/KIND/UUID, as the header Allow says them. */
const char *object_methods(const struct kind_desc *k, bool one);
/* macro.c */
handler macro_write, macro_write_now, macro_delete;
/* list.c */
handler object_list;
typedef json_t *list_row(const struct view *v, struct request *q, const struct object *o);
/* A page of objects of the kind K, each shown by ROW. */
enum result list_answer(struct request *q, const struct kind_desc *k, list_row *row);
/* inventory.c */
handler inventory_list, inventory_get, health_score_get;
bool inventory_exists(const char *name, size_t len);
/* The name of the Ith; NULL behind the last. */
const char *inventory_name(size_t i);
/* subresource.c */
handler subresource_get, subresource_post;
/* A GET of what is only posted to. */
handler action_get;
/* state.c */
handler initial_data, cluster_status, cluster_runtime, cluster_version, model_get, license_get, licenseusage_get, upgradestatus_get, cluster_upgrade_get, absent_any, engine_forget;
/* openapi.c */
handler openapi_get;
/* files.c */
handler file_get, file_post, file_delete;
/* The head of an upload: it may come, or (answered) not. */
void file_begin(struct request *q, uint64_t length);
/* capture.c */
handler capture_file;
/* /api/fileservice?uri=controller://captures...: PATH is what is behind that. */
enum result captures_folder(struct request *q, const char *path);
void capture_actions(struct rest *r);
/* logs.c */
handler logs_get;
/* metrics.c */
handler metrics_get, metrics_collection, metric_ids_get;
void metrics_views(struct rest *r);
/* enrol.c */
handler token_post;
/* configuration.c */
handler configuration_export, configuration_import, backup_file;

/* ---- route.c --------------------------------------------------------------- */

void route_request(struct request *q);
/* Adds what the kinds' tables do not know to an OpenAPI document. */
void route_describe(json_t *document);
/*
 * The answer of a RESULT_LATER request is complete. It leaves when everything is durable that it
 * may tell of: answers of one turn share a sync.
 */
void route_done(struct request *q);
/* Allow header and 405 "Method 'X' not allowed". */
enum result refuse_method(struct request *q, const char *allow);

/* ---- auth.c: who may do what ------------------------------------------------- */

/*
 * Finds the session or user of Q. REFUSED: answered 401 or 419. LATER: a password is being checked,
 * and the request, which may be gone already, will be routed anew.
 */
enum auth { AUTH_GOOD, AUTH_REFUSED, AUTH_LATER };
enum auth auth_user(struct request *q);
/* Fills q->tenant_id; answers 403 when it is unknown or not the user's. */
bool auth_tenant(struct request *q);
bool auth_is_superuser(const struct request *q);
/* access_may() and access_sees() for who asks. THING: path of a kind, or a name of access.def. */
int auth_may(struct request *q, const char *thing, const char *tenant, bool write, struct err *e);
int auth_may_object(struct request *q, const struct object *o, enum access_verb verb, struct err *e);
bool auth_sees(const struct request *q, const struct object *o);
/* Re-read the limits of sessions from systemconfiguration and controllerproperties. */
void auth_limits(struct rest *r);
/*
 * Basic authentication: the credentials of the header, in a copy that the caller frees; NULL: none
 * or malformed.
 */
char *auth_basic(const struct request *q, char **password);

/* ---- login.c: checks of passwords, on the pool ----------------------------------- */

/*
 * Is PASSWORD the one of USER (a name)? THEN is called on the core's thread, perhaps before this
 * returns, with the user's uuid, or NULL when it is not or the user may not log in.
 */
void password_check(struct request *q, const char *user, const char *password,
		    void (*then)(struct request *q, const char *uuid));

/* Is the password of USER older than his profile allows? (account.c) */
bool password_is_old(struct rest *r, const struct object *user);

/* ---- objects.c ---------------------------------------------------------------------- */

struct view {
	struct model_write write;
	const char *fields; /* NULL: all */
	const char *subresources; /* NULL: none */
	const char *join; /* NULL: none */
};

/* How Q, about objects of the kind K, wants them shown. -EINVAL with a sentence: V joins nothing. */
int view_init(struct view *v, const struct request *q, const struct kind_desc *k, struct err *e);
/* An object as this request shows it. New reference; NULL: the caller may not see or read it. */
json_t *view_object(const struct view *v, struct request *q, const struct object *o);
/* -EINVAL when `join_subresources` names what no kind has. */
int subresource_check(const struct view *v, const struct request *q, struct err *e);
/* What GET .../PATH of an object answers; NULL when there is nothing. */
json_t *subresource_show(const struct view *v, struct request *q, const struct object *o,
			 const char *path);
/* The sub-resources that `join_subresources` names, into OUT (subresource.c). */
void subresource_join(const struct view *v, struct request *q, const struct object *o, json_t *out);
/*
 * Commits C, or aborts it when RC says so. Answers only when that was no success. The disk has it
 * before the answer leaves (route_done).
 */
void object_finish(struct request *q, struct change *c, int rc, struct err *e);
/*
 * The object of the path (q->uuid), seen by the caller; a singleton has no uuid in it. D holds it
 * when it is not stored. NULL: answered 403 or 404; who may not do such a thing at all does not
 * learn what there is.
 */
const struct object *object_of(struct request *q, const struct kind_desc *k, enum access_verb verb,
			       struct derived *d);
/* The `_last_modified` that BODY was made from, as text or as number; 0: it says none. What is no number was never stored. */
uint64_t object_seen(const json_t *body);
/* Does the administrator let clients choose uuids in bodies? */
bool object_uuid_from_input(const struct request *q);
/* Who writes, for change_begin(). Borrows from Q. */
struct change_by change_by(struct request *q);
/* X-Spanwire-Ignored, X-Spanwire-Inert and X-Spanwire-Warning. */
void notes_headers(struct request *q, const struct model_notes *n);

#endif

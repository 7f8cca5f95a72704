/*
 * request - one HTTP request on its way from the API thread to the core and back.
 *
 * The API thread (server.c) fills the upper half and never looks at the lower one before it is
 * answered; the core (route.c and the handlers) reads the upper half and writes the lower. Between
 * the two stand an inbox and MHD's suspend and resume: never a lock.
 */
#ifndef SPANWIRE_CONTROLLER_REST_REQUEST_H
#define SPANWIRE_CONTROLLER_REST_REQUEST_H

#include "base/buf.h"
#include "base/json.h"
#include "base/list.h"
#include "controller/access.h"
#include "controller/rest/query.h"
#include "controller/rest/session.h"
#include "controller/store/store.h"
#include "net/inbox.h"

struct rest;
struct route;
struct server;

enum method {
	METHOD_OTHER,
	METHOD_GET,
	METHOD_POST,
	METHOD_PUT,
	METHOD_PATCH,
	METHOD_DELETE,
	METHOD_OPTIONS
};

enum { REQUEST_BODY_MAX = 2 * 1024 * 1024, REQUEST_HEADERS_MAX = 12 };

/*
 * A body of files is not collected in memory: the core is asked when the head has come, and again
 * when the body has.
 */
enum stage { STAGE_WHOLE, STAGE_HEAD, STAGE_BODY };

struct request {
	struct message message;
	struct rest *rest;
	struct server *server;

	/* As received. Headers are "" when absent, so that nobody forgets to check. */
	enum method method;
	char method_text[16];
	char *target;
	char path[1024];
	struct query query;
	char host[256], tenant[256], tenant_uuid[192], version[32], csrf[80], slug[192],
		content_type[128];
	char authorization[1400], range[64];
	bool strict;
	bool if_range; /* a part only if the file is still what it was: no file of ours says what it is (RFC 9110, 13.1.5) */
	struct buf cookies; /* all Cookie lines, joined by "; " */
	struct buf body;
	char client[48];
	struct err bad; /* refused before the core saw it */
	int bad_status;

	enum stage stage;
	uint64_t length;       /* Content-Length; 0: not said */
	struct upload *upload; /* where the body goes; NULL: to `body` */

	/* Found out by route.c. */
	char base_url[272]; /* "https://" and the Host header */
	json_t *json; /* body; NULL when there was none */
	struct session *session; /* NULL: basic authentication, or no login needed */
	const struct object *user; /* borrowed, of this turn */
	struct viewer viewer; /* the user, where he looks */
	const struct route *route;
	bool asked; /* somebody asked whether he may: see route.c */
	char basic_user[192]; /* uuid, after basic authentication */
	char login[256]; /* name that tries to log in */
	bool by_password;    /* and not by a token */
	bool must_change;    /* basic authentication with a password that is too old */
	char tenant_id[192]; /* uuid of the tenant; "*" for all */
	char *kind, *uuid, *rest_path; /* parts of the path, as the route's pattern names them */
	char *path_copy;

	/* The answer. */
	int status;
	char *text; /* malloc'ed; NULL: empty */
	json_t *large; /* it is still to become `text`; NULL: nothing is */
	int file;   /* a descriptor to send in its place; -1: none */
	uint64_t file_bytes, file_from;
	bool named; /* the file says itself how it is called */
	const char *media; /* type of the answer; NULL: JSON */
	bool answering; /* it is being sent, and counted as such */
	struct {
		const char *name;
		char *value;
	} header[REQUEST_HEADERS_MAX];
	size_t n_headers;
	struct list unsynced; /* while its answer waits for the disk */
	void *connection; /* struct MHD_Connection */
	bool begun, posted;
	size_t swallowed; /* bytes of a body that is too large */
};

/* ---- answers; each handler gives exactly one ------------------------------ */

/* VALUE is copied. */
void request_header(struct request *q, const char *name, const char *value);
/* Takes V. */
void request_json(struct request *q, int status, json_t *v);
/* The same of what is large, and nobody else holds any of: it becomes text on another thread (aside.h). */
void request_json_large(struct request *q, int status, json_t *v);
void request_large_to_text(struct request *q);
/* {"error": "PATH: TEXT"} with the status that the code of E stands for. */
void request_error(struct request *q, const struct err *e);
void request_refuse(struct request *q, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void request_empty(struct request *q, int status);
/* 200 and what FD, which is taken, holds. */
void request_file(struct request *q, int fd, uint64_t size);
/* The same, or the one range of it that was asked for: 206, or 416. NAME: what it is saved as. */
void request_file_part(struct request *q, int fd, uint64_t size, const char *name);

/* The HTTP status of an error code. */
int status_of(int code);

#endif

/* session - the state of a client connection that speaks HTTP; for the files of this folder. */
#ifndef SPANWIRE_ENGINE_HTTP_SESSION_H
#define SPANWIRE_ENGINE_HTTP_SESSION_H

#include "engine/address.h"
#include "engine/conn.h"
#include "engine/http/flow.h"
#include "engine/http/http.h"
#include "engine/upstream.h"

struct http_application_profile;

struct session {
	struct upstream upstream;
	struct conn *client;
	struct grave grave;
	enum http_state state;
	uint32_t requests;         /* on this connection */
	uint64_t body_max;         /* of this request; 0: no limit */

	/* The exchange. */
	struct flow up, down;      /* request body, response body */
	uint32_t kept;             /* bytes of client->in: this request, whole; to send it again */
	uint32_t head_len;         /* bytes of client->in: its head, until that was taken */
	uint8_t method;            /* enum http1_method */
	uint8_t minor;             /* of the client's version */
	bool in_head;              /* a part of the next head is there */
	bool in_idle, idle_again;
	bool wanted_more;          /* the client would go on after this request */
	bool keep;                 /* ... and may have it */
	bool server_keep;          /* the server's connection may serve another */
	bool trailers;             /* the client takes them */
	bool upgrade;              /* the client asked to switch protocols */
	bool expects;              /* ... waits for 100, and it was not sent */
	bool sent;                 /* something may have reached the server */
	bool answered;             /* the head of the answer went to the client */
	bool switched;             /* ... with 101 */
	bool deaf;                 /* the server takes no more of the request */

	uint8_t ip_len;
	char ip[ADDRESS_TEXT];     /* the client's, as text */
};

/* Settings of the exchange, or between two of what the next one will have. */
const struct http_application_profile *session_profile(const struct session *s);

/* The request head H, which stands at IN, as the server gets it. */
void head_to_server(const struct session *s, const struct http1_head *h, const char *in,
		    struct gather *g);
/* The response head H; s->down and s->keep are set. */
void head_to_client(const struct session *s, const struct http1_head *h, const char *in,
		    struct gather *g);

#endif

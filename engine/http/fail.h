/* fail - what a client gets when a pool has no server for it: the pool's fail_action. */
#ifndef SPANWIRE_ENGINE_HTTP_FAIL_H
#define SPANWIRE_ENGINE_HTTP_FAIL_H

#include "engine/http/exchange.h"

struct fail_action;

/*
 * Answer the request at the front of *x->in by ACTION (NULL: none); HEAD is its head.
 * Without one, or where it has nothing to say (FAIL_ACTION_CLOSE_CONN, a redirect that would be too long), it is a 503 and
 * the end of the connection.
 */
void fail_answer(struct exchange *x, const struct fail_action *action, const struct http1_head *head);

#endif

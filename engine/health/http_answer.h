/*
 * http_answer - what a health check reads of the head of an HTTP answer, of which there may be only a part.
 */
#ifndef SPANWIRE_ENGINE_HEALTH_HTTP_ANSWER_H
#define SPANWIRE_ENGINE_HEALTH_HTTP_ANSWER_H

#include <stddef.h>

#define HTTP_ANSWER_TASKS_MAX 1000000000

/* The status, 100 to 599; 0: it does not begin like an answer of HTTP/1. */
unsigned http_answer_code(const char *s, size_t n);
/* What its X-Server-Tasks says, at most HTTP_ANSWER_TASKS_MAX; -1: nothing that makes sense. */
int http_answer_tasks(const char *s, size_t n);

#endif

/*
 * question - what a health monitor asks and what answer is good, in the units of whoever asks.
 *
 * Made from the monitor's object. Equal questions are asked once for all pools that have the server.
 */
#ifndef SPANWIRE_ENGINE_HEALTH_QUESTION_H
#define SPANWIRE_ENGINE_HEALTH_QUESTION_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

struct ask_ops;
struct health_monitor;
struct tls_settings;

#define QUESTION_READ 2048 /* bytes of an answer that are looked at, unless response_size says more */

/* What a DNS answer must hold. */
enum dns_need { DNS_NEED_TYPE, DNS_NEED_RECORD, DNS_NEED_NOTHING };

struct question {
	struct arena arena;          /* the strings */
	const char *uuid, *name;     /* of the health monitor */
	const struct ask_ops *ask;   /* how */
	unsigned port;               /* 0: the server's */
	uint64_t interval_ms, timeout_ms;
	unsigned rises, falls;       /* checks in a row */
	bool quick;                  /* the first checks follow each other quickly */
	bool apart;                  /* each pool asks for itself */

	uint64_t tasks_ms;           /* HTTP: the answer is to say X-Server-Tasks, so often; 0: nobody wants to know */
	bool http;                   /* over a stream: HTTP, or whatever the text is */
	bool half_open;              /* SYN and RST, nothing is said */
	const char *request;         /* NULL: only connect */
	const char *body;
	bool exact;                  /* send `request` as it is */
	const char *authorization;   /* value of the header; NULL: none */
	const char *expect;          /* text that the first bytes must have; NULL: none */
	unsigned read_max;           /* those first bytes */
	unsigned classes;            /* bit n: nxx is good; 0: all are */
	unsigned maintenance[4];     /* status codes; 0: none */
	const char *maintenance_text;

	SSL_CTX *tls;                /* a reference; NULL: in plain text */
	const char *sni;             /* NULL: the server's address, which is none */
	const char *tls_why;         /* the settings cannot be: every check fails with this sentence */
	unsigned char tls_digest[32];

	struct {
		const char *name;
		unsigned type;           /* as on the wire */
		enum dns_need need;
		bool any_rcode;
		const char *address;     /* that must be in the answer; NULL: any */
	} dns;
};

/*
 * Copies what MODEL says. SECOND_MS is 1000; tests have shorter seconds. TLS: what HTTPS is spoken with,
 * NULL for the library's defaults; a context is made only where OLD, which may be NULL, has another one.
 */
void question_init(struct question *q, const struct health_monitor *model, unsigned second_ms,
		   const struct tls_settings *tls, const struct question *old);
void question_fini(struct question *q);
bool question_equal(const struct question *a, const struct question *b);

#endif

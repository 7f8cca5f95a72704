/*
 * process - the proxy as the warden's child: started, asked, replaced.
 *
 * It is asked for a sign of life every PROCESS_PING_MS, on a socket of its own (PROCESS_PULSE_FD; the number that is
 * sent comes back): neither does the question stand behind what else it is told, nor the answer behind what it tells.
 * One that ends without
 * being told to, breaks the channel's rules or leaves PROCESS_MISSED pings
 * unanswered is replaced, at once the first times, later with a pause that
 * doubles. Whoever starts anew knows nothing: started() tells it everything.
 */
#ifndef SPANWIRE_ENGINE_PROCESS_H
#define SPANWIRE_ENGINE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "net/loop.h"

#define PROCESS_CHANNEL_FD 3 /* as the proxy has them */
#define PROCESS_PULSE_FD   4
#define PROCESS_PING_MS  50
#define PROCESS_MISSED   30    /* 1.5 s: a lease is long over, and no commit takes that long */
#define PROCESS_START_MS 10000 /* until the first answer */

struct process;

struct process_user {
	/* A new proxy listens; the first message must be `start`. */
	void (*started)(struct process_user *u);
	/* FD is -1 or the user's. */
	void (*message)(struct process_user *u, const char *type, const json_t *m, int fd);
	/* It is gone, and its connections with it. WHY is a sentence. */
	void (*ended)(struct process_user *u, const char *why, bool hung);
};

/* Nothing is started yet. U is borrowed. */
struct process *process_new(struct loop *l, struct process_user *u);
/* The first start; the others come by themselves. */
void process_start(struct process *p);
/* Tells it to end, waits for that a second, kills it. Frees at the end of the turn. */
void process_free(struct process *p);

/* As channel_send(); dropped while there is no proxy. */
void process_send(struct process *p, json_t *m, int fd);

/* It said what no proxy of ours says: it is killed, and another one started. */
void process_distrust(struct process *p);

/* From inside long work: what it answered is taken, and it is asked again, when that is due. Nobody is called. */
void process_breathe(struct process *p);

/*
 * When the newest ping was sent that the proxy, with all its workers, has answered (CLOCK_MONOTONIC); 0: this proxy
 * has not answered any.
 */
uint64_t process_proof_ns(const struct process *p);
/* 0: there is none now. */
int process_pid(const struct process *p);

#endif

/*
 * ask - a question to an engine, and its answer.
 *
 * A question is a message `ask` with a number on the bulk channel; the answer comes in one or more
 * messages `answer` with the same number. Whoever asks hears of the end exactly once: by the last
 * piece, or with the sentence why there is none (the engine is not connected, it went away, it did not
 * answer in time, the controller stops), never from within ask_engine(). The time runs anew with each
 * piece, up to four times as long.
 */
#ifndef SPANWIRE_CONTROLLER_LINK_ASK_H
#define SPANWIRE_CONTROLLER_LINK_ASK_H

#include "base/json.h"

struct engine;
struct fleet;

/* PIECE: an `answer` message, borrowed; NULL with the reason in TROUBLE. LAST: nothing follows. */
typedef void ask_heard(void *arg, const json_t *piece, bool last, const char *trouble);

/* Takes QUESTION: an `ask` message without type and n. */
void ask_engine(struct engine *e, json_t *question, unsigned limit_ms, ask_heard *heard, void *arg);

/* For sessions: an `answer` from E; E's bulk channel is gone. */
void ask_answered(struct engine *e, const json_t *answer);
void ask_lost(struct engine *e, const char *why);

/* From now on nobody waits for an engine: all hear that the controller is stopping. */
void asks_stop(struct fleet *f);

#endif

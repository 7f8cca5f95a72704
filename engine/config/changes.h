/*
 * changes - which objects a commit of the controller changes, and what each service is made of.
 *
 * The warden notes each put and delete; at the commit it asks which services are concerned, and which revision of a service
 * runs then: the newest of the objects that it is made of. Revisions are kept for as long as an object is held.
 */
#ifndef SPANWIRE_ENGINE_CONFIG_CHANGES_H
#define SPANWIRE_ENGINE_CONFIG_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

struct changes;
struct link;

struct changes *changes_new(void);
void changes_free(struct changes *c);

void changes_put(struct changes *c, const char *kind, const char *uuid, uint64_t revision);
void changes_gone(struct changes *c, const char *kind, const char *uuid);
/* The commit is done. */
void changes_clear(struct changes *c);

bool changes_none(const struct changes *c);
/* Any of KIND? */
bool changes_any(const struct changes *c, const char *kind);
bool changes_one(const struct changes *c, const char *kind, const char *uuid);
/* F may not add to them. */
void changes_each(struct changes *c, void (*f)(void *arg, const char *kind, const char *uuid), void *arg);

/*
 * The newest revision of virtual service UUID and of what it refers to, and of what its pools and its policy refer to.
 * *MADE_OF becomes these objects, {"kind/uuid": true}; the reference that was there (NULL: none) is given up.
 */
uint64_t changes_newest(const struct changes *c, const struct link *k, const char *uuid, json_t **made_of);
/* Is any of MADE_OF (NULL: not known yet) among them? */
bool changes_concern(const struct changes *c, const json_t *made_of);

#endif

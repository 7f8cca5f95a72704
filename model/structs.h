/*
 * structs - the C structs of the messages, made from the tables.
 *
 * `struct pool` has the live fields of the message Pool under their own names; model_load() fills
 * it. `pool_message` is its descriptor. The enums have the contract's words as constants. Types:
 * see docs/design.md, "A kind is a table".
 */
#ifndef SPANWIRE_MODEL_STRUCTS_H
#define SPANWIRE_MODEL_STRUCTS_H

#include "model/model.h"

#define ENUM(name, ...) enum name { __VA_ARGS__ }; extern const char words_##name[];
#define WORDS(name, ...)
#include "model/enums.def"
#undef ENUM
#undef WORDS

#define MESSAGE(id, ...)        MESSAGE_(id)
#define KIND(id, ...)           MESSAGE_(id)
#define MESSAGE_(id)            extern const struct message_desc id##_message; struct id {
#define END()                   };
#define ONE(ctype, f, ...)      ctype f;
#define MAYBE_(ctype, f, ...)   ctype f; bool has_##f;
#define MANY(ctype, f, ...)     ctype const *f; size_t f##_n;
#define NONE(ctype, f, ...)
#include "model/table.h"
#include "model/kinds/all.def"
#include "model/table_end.h"
#undef MESSAGE_

#endif

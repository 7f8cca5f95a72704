/*
 * table - the vocabulary of model/kinds/, for a file that reads the tables.
 *
 * Each reading of the tables ("pass") defines what it makes of
 *
 *   MESSAGE(THIS, "Name", "Help.", ...)               begins a message; ... are further members
 *   KIND(THIS, "path", "Name", flags, "Help.", ...)   begins a kind
 *   END()                                             ends either
 *   ONE(ctype, field, ...)                            a member
 *   MAYBE_(ctype, field, ...)                         a member with a has_ bit
 *   MANY(ctype, field, ...)                           a list
 *   NONE(ctype, field, ...)                           a field without a member
 *
 * and includes this header, then model/kinds/all.def, then model/table_end.h. `...` are the members
 * of struct field_desc. docs/model.md says how a table is read and written. No include guard: it is
 * included once per pass.
 */
/* clang-format off */
#define INT_(w)                 .type = FT_INT, .width = w
#define T_BOOL(S, f, h, ...)    S(bool, f, .type = FT_BOOL, .help = h, ##__VA_ARGS__)
#define T_INT(S, f, h, ...)     S(int64_t, f, INT_(W_INT32), .help = h, ##__VA_ARGS__)
#define T_UINT(S, f, h, ...)    S(int64_t, f, INT_(W_UINT32), .help = h, ##__VA_ARGS__)
#define T_INT64(S, f, h, ...)   S(int64_t, f, INT_(W_INT64), .help = h, ##__VA_ARGS__)
#define T_UINT64(S, f, h, ...)  S(int64_t, f, INT_(W_UINT64), .help = h, ##__VA_ARGS__)
#define T_FLOAT(S, f, h, ...)   S(double, f, .type = FT_FLOAT, .help = h, ##__VA_ARGS__)
#define T_STR(S, f, h, ...)     S(const char *, f, .type = FT_STR, .help = h, ##__VA_ARGS__)
#define T_ENUM(S, e, f, h, ...) \
	S(enum e, f, .type = FT_ENUM, .values = words_##e, .help = h, ##__VA_ARGS__)
#define T_REF(S, k, f, h, ...) \
	S(const char *, f, .type = FT_REF, .ref = #k, .help = h, ##__VA_ARGS__)
#define T_MSG(S, m, f, h, ...) \
	S(const struct m *, f, .type = FT_MSG, .msg = &m##_message, .help = h, ##__VA_ARGS__)

#define T_LIST_INT(S, f, ...)     T_INT(S, f, __VA_ARGS__, .list = true)
#define T_LIST_UINT(S, f, ...)    T_UINT(S, f, __VA_ARGS__, .list = true)
#define T_LIST_INT64(S, f, ...)   T_INT64(S, f, __VA_ARGS__, .list = true)
#define T_LIST_UINT64(S, f, ...)  T_UINT64(S, f, __VA_ARGS__, .list = true)
#define T_LIST_FLOAT(S, f, ...)   T_FLOAT(S, f, __VA_ARGS__, .list = true)
#define T_LIST_STR(S, f, ...)     T_STR(S, f, __VA_ARGS__, .list = true)
#define T_LIST_ENUM(S, e, f, ...) T_ENUM(S, e, f, __VA_ARGS__, .list = true)
#define T_LIST_REF(S, k, f, ...)  T_REF(S, k, f, __VA_ARGS__, .list = true)
#define T_LIST_MSG(S, m, f, h, ...) \
	S(struct m, f, .type = FT_MSG, .msg = &m##_message, .list = true, .help = h, ##__VA_ARGS__)

/* Fields with effect: a descriptor and a C member. */
#define BOOL(...)        T_BOOL(ONE, __VA_ARGS__)
#define INT(...)         T_INT(ONE, __VA_ARGS__)
#define UINT(...)        T_UINT(ONE, __VA_ARGS__)
#define INT64(...)       T_INT64(ONE, __VA_ARGS__)
#define UINT64(...)      T_UINT64(ONE, __VA_ARGS__)
#define FLOAT(...)       T_FLOAT(ONE, __VA_ARGS__)
#define STR(...)         T_STR(ONE, __VA_ARGS__)
#define ENUM(...)        T_ENUM(ONE, __VA_ARGS__)
#define REF(...)         T_REF(ONE, __VA_ARGS__)
#define MSG(...)         T_MSG(ONE, __VA_ARGS__)
#define LIST_INT(...)    T_LIST_INT(MANY, __VA_ARGS__)
#define LIST_UINT(...)   T_LIST_UINT(MANY, __VA_ARGS__)
#define LIST_INT64(...)  T_LIST_INT64(MANY, __VA_ARGS__)
#define LIST_STR(...)    T_LIST_STR(MANY, __VA_ARGS__)
#define LIST_ENUM(...)   T_LIST_ENUM(MANY, __VA_ARGS__)
#define LIST_REF(...)    T_LIST_REF(MANY, __VA_ARGS__)
#define LIST_MSG(...)    T_LIST_MSG(MANY, __VA_ARGS__)

/* With a member and `bool has_FIELD`: unset is not the same as the default. */
#define MAYBE(type, ...) T_##type(MAYBE_, __VA_ARGS__)
/* Without effect yet: checked, stored, returned, named in X-Spanwire-Inert; no member. */
#define INERT(type, ...) T_##type(NONE, __VA_ARGS__, .inert = true)
/* Without a member because being stored and returned is all its effect. */
#define KEPT(type, ...)  T_##type(NONE, __VA_ARGS__)

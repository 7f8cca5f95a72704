/*
 * The tables become descriptors: the arrays of fields in one pass, the messages in the next (they
 * need the arrays' sizes), the kinds in the last.
 */
#include "base/base.h"

#include "model/internal.h"
#include "model/structs.h"

/* clang-format off */

/* What a field without a member of this or that sort points at. */
#define NO_OFFSETS .offset = NO_MEMBER, .count_offset = NO_MEMBER, .has_offset = NO_MEMBER

#define ENUM(name, ...)  const char words_##name[] = #__VA_ARGS__;
#define WORDS(name, ...) static const char words_##name[] = #__VA_ARGS__;
#include "model/enums.def"
#undef ENUM
#undef WORDS

#define MESSAGE(id, ...)  MESSAGE_(id)
#define KIND(id, ...)     MESSAGE_(id)
#define MESSAGE_(id)      static const struct field_desc id##_fields[] = {
#define END()             };
#define AT(f) \
	.name = #f, .offset = offsetof(struct THIS, f), .item_size = MEMBER_SIZE(f)
#define MEMBER_SIZE(f)    sizeof(((struct THIS *)0)->f)
#define ONE(ctype, f, ...) \
	{ AT(f), .count_offset = NO_MEMBER, .has_offset = NO_MEMBER, __VA_ARGS__ },
#define MAYBE_(ctype, f, ...)                                                                 \
	{ AT(f), .count_offset = NO_MEMBER, .has_offset = offsetof(struct THIS, has_##f),     \
	  __VA_ARGS__ },
#define MANY(ctype, f, ...)                                                                   \
	{ .name = #f, .offset = offsetof(struct THIS, f), .item_size = sizeof(ctype),          \
	  .count_offset = offsetof(struct THIS, f##_n), .has_offset = NO_MEMBER, __VA_ARGS__ },
#define NONE(ctype, f, ...) { .name = #f, NO_OFFSETS, __VA_ARGS__ },
#include "model/table.h"
#include "model/kinds/all.def"
#include "model/table_end.h"
#undef MESSAGE_
#undef AT
#undef MEMBER_SIZE

#define FIELDS(id) \
	.fields = id##_fields, .n_fields = ARRAY_SIZE(id##_fields), .size = sizeof(struct id)
#define MESSAGE(id, n, h, ...)        MESSAGE_(id, n, h, ##__VA_ARGS__)
#define KIND(id, p, n, fl, h, ...)    KIND_(id, n, h)
#define MESSAGE_(id, n, h, ...)                                                               \
	const struct message_desc id##_message = {                                            \
		.name = n, .help = h, FIELDS(id), ##__VA_ARGS__                               \
	};
#define KIND_(id, n, h) \
	const struct message_desc id##_message = { .name = n, .help = h, FIELDS(id) };
#define END()
#define ONE(...)
#define MAYBE_(...)
#define MANY(...)
#define NONE(...)
#include "model/table.h"
#include "model/kinds/all.def"
#include "model/table_end.h"
#undef MESSAGE_
#undef KIND_
#undef FIELDS

#define MESSAGE(...)
#define KIND(id, p, n, fl, h, ...)    KIND_(id, p, fl, h, ##__VA_ARGS__)
#define KIND_(id, p, fl, h, ...)                                                              \
	&(const struct kind_desc){ .path = p, .help = h, .flags = fl, .msg = &id##_message,   \
				   ##__VA_ARGS__ },
#define END()
#define ONE(...)
#define MAYBE_(...)
#define MANY(...)
#define NONE(...)
const struct kind_desc *const model_kinds[] = {
#include "model/table.h"
#include "model/kinds/all.def"
#include "model/table_end.h"
};
#undef KIND_
const size_t model_n_kinds = ARRAY_SIZE(model_kinds);

/* clang-format on */

const struct kind_desc *kind_find(const char *path)
{
	for (size_t i = 0; i < model_n_kinds; i++)
		if (strcmp(model_kinds[i]->path, path) == 0)
			return model_kinds[i];
	return NULL;
}

const struct field_desc *field_find(const struct message_desc *m, const char *name)
{
	for (size_t i = 0; i < m->n_fields; i++)
		if (strcmp(m->fields[i].name, name) == 0)
			return &m->fields[i];
	return NULL;
}

bool word_next(const char **words, const char **word, size_t *len)
{
	const char *p = *words + strspn(*words, ", ");

	if (!*p)
		return false;
	*word = p;
	*len = strcspn(p, ",");
	*words = p + *len;
	return true;
}

int word_index(const char *words, const char *word)
{
	const char *w;
	size_t len, want = strlen(word);

	for (int i = 0; word_next(&words, &w, &len); i++)
		if (len == want && memcmp(w, word, len) == 0)
			return i;
	return -1;
}

const char *word_at(const char *words, int index, size_t *len)
{
	const char *w;

	for (int i = 0; word_next(&words, &w, len); i++)
		if (i == index)
			return w;
	return NULL;
}

/* Optimal string alignment distance, given up when it passes MOST. */
static size_t distance(const char *a, const char *b, size_t most)
{
	enum { LONGEST = 80 };
	size_t row[3][LONGEST + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > LONGEST || m > LONGEST || (n > m ? n - m : m - n) > most)
		return most + 1;
	for (size_t j = 0; j <= m; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *now = row[i % 3], *up = row[(i - 1) % 3], *upup = row[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t d = up[j - 1] + (a[i - 1] != b[j - 1]);

			d = MIN(d, MIN(up[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = MIN(d, upup[j - 2] + 1);
			now[j] = d;
		}
	}
	return row[n % 3][m];
}

const char *model_nearest(const char *name, const char *const *known, size_t n)
{
	const char *best = NULL;
	size_t most = MAX(strlen(name) / 3, (size_t)1);

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(name, known[i], most);

		if (d > most)
			continue;
		best = known[i];
		if (!d)
			break;
		most = d - 1;
	}
	return best;
}

void model_notes_fini(struct model_notes *n)
{
	buf_fini(&n->ignored);
	buf_fini(&n->inert);
	buf_fini(&n->warnings);
}

/*
 * read - from what a client sends to the stored form.
 *
 * One walk over the value along the table. What is lenient: numbers and booleans may come as text,
 * references in any of their spellings, unknown and read-only fields. What is strict: everything
 * else. A field that is not built is refused or noted here, so that nothing is ever silently
 * without effect.
 */
#include "base/base.h"
#include "base/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>

#include "model/internal.h"

enum { STR_MAX = 4096, NOTES_MAX = 2048 };

struct reader {
	unsigned flags;
	struct model_resolver *resolver;
	struct model_notes *notes;
	struct err *e;
};

static int read_message(struct reader *r, const struct message_desc *m, const json_t *in,
			json_t **out, const struct place *at);

/* Notes become a header: a long list ends in "...". */
static void note(struct buf *b, const struct place *at)
{
	char path[192];

	if (b->len >= 3 && memcmp(b->data + b->len - 3, "...", 3) == 0)
		return;
	place_text(at, path, sizeof(path));
	buf_puts(b, b->len ? "," : "");
	buf_puts(b, b->len + strlen(path) > NOTES_MAX ? "..." : path);
}

static const char *type_name(const json_t *v)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "a text",
		[JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "a boolean",
		[JSON_FALSE] = "a boolean",  [JSON_NULL] = "null",
	};

	return names[json_typeof(v)];
}

static int wrong_type(struct reader *r, const char *want, const json_t *v, const struct place *at)
{
	const char *s = json_string_value(v);

	if (s)
		return place_err(r->e, -EINVAL, at, "Must be %s, not \"%.40s\".", want, s);
	return place_err(r->e, -EINVAL, at, "Must be %s, not %s.", want, type_name(v));
}

static int read_bool(struct reader *r, const json_t *v, json_t **out, const struct place *at)
{
	const char *s = json_string_value(v);

	if (json_is_boolean(v))
		*out = json_boolean(json_is_true(v));
	else if (s && strcasecmp(s, "true") == 0)
		*out = json_true();
	else if (s && strcasecmp(s, "false") == 0)
		*out = json_false();
	else
		return wrong_type(r, "true or false", v, at);
	return 0;
}

static bool number_listed(const char *list, long long n)
{
	while (list && *list) {
		char *end;

		if (strtoll(list, &end, 10) == n)
			return true;
		list = end + strspn(end, ", ");
	}
	return false;
}

static int out_of_range(struct reader *r, const struct field_desc *f, const char *given,
			const struct place *at)
{
	char or_else[64] = "";

	if (f->special)
		snprintf(or_else, sizeof(or_else), ", or %s", f->special);
	if (f->one_of)
		return place_err(r->e, -EINVAL, at, "%s is not one of %s.", given, f->one_of);
	return place_err(r->e, -EINVAL, at, "%s is out of range: %lld to %lld%s%s%s.", given,
			 (long long)f->min, (long long)f->max, or_else, f->unit ? " " : "",
			 f->unit ? f->unit : "");
}

static int int_within_width(struct reader *r, const struct field_desc *f, long long n,
			    const struct place *at)
{
	static const long long min[] = { [W_INT32] = INT32_MIN, [W_INT64] = INT64_MIN };
	static const long long max[] = {
		[W_INT32] = INT32_MAX,
		[W_UINT32] = UINT32_MAX,
		[W_INT64] = INT64_MAX,
		[W_UINT64] = INT64_MAX,
	};
	long long low = f->width == W_INT32 || f->width == W_INT64 ? min[f->width] : 0;

	if (n < low || n > max[f->width])
		return place_err(r->e, -EINVAL, at, "%lld is out of range: %lld to %lld.", n, low,
				 max[f->width]);
	return 0;
}

static int read_int(struct reader *r, const struct field_desc *f, const json_t *v, json_t **out,
		    const struct place *at)
{
	const char *s = json_string_value(v);
	char given[32];
	long long n;

	if (json_is_integer(v)) {
		n = json_integer_value(v);
	} else if (json_is_real(v) && fabs(json_real_value(v)) < 9e15 &&
		   json_real_value(v) == (double)(long long)json_real_value(v)) {
		n = (long long)json_real_value(v);
	} else if (s && *s) {
		char *end;

		errno = 0;
		n = strtoll(s, &end, 10);
		if (errno || *end || *s == ' ')
			return wrong_type(r, "a whole number", v, at);
	} else {
		return wrong_type(r, "a whole number", v, at);
	}
	snprintf(given, sizeof(given), "%lld", n);
	if (!number_listed(f->special, n)) {
		if (f->one_of && !number_listed(f->one_of, n))
			return out_of_range(r, f, given, at);
		if (f->min < f->max && (n < f->min || n > f->max))
			return out_of_range(r, f, given, at);
		if (int_within_width(r, f, n, at) < 0)
			return -EINVAL;
	}
	*out = json_integer(n);
	return 0;
}

static int read_float(struct reader *r, const struct field_desc *f, const json_t *v, json_t **out,
		      const struct place *at)
{
	const char *s = json_string_value(v);
	char given[32];
	double d;

	if (json_is_number(v)) {
		d = json_number_value(v);
	} else if (s && *s && *s != ' ') {
		char *end;

		d = strtod(s, &end);
		if (*end || !isfinite(d))
			return wrong_type(r, "a number", v, at);
	} else {
		return wrong_type(r, "a number", v, at);
	}
	snprintf(given, sizeof(given), "%g", d);
	if (f->min < f->max && (d < (double)f->min || d > (double)f->max))
		return out_of_range(r, f, given, at);
	*out = json_real(d);
	return 0;
}

static bool is_mac(const char *s)
{
	for (int i = 0; i < 17; i++) {
		bool colon = i % 3 == 2;

		if (colon ? s[i] != ':' : !strchr("0123456789abcdefABCDEF", s[i]) || !s[i])
			return false;
	}
	return s[17] == '\0';
}

/* A name is shown in sentences, headers and tables, each of which ends at a line's end. */
static bool is_one_line(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static int read_str(struct reader *r, const struct field_desc *f, const json_t *v, json_t **out,
		    const struct place *at)
{
	size_t max = f->max ? (size_t)f->max : STR_MAX;
	unsigned char raw[sizeof(struct in6_addr)];
	struct filter filter;
	const char *s;

	if (!json_is_string(v))
		return wrong_type(r, "a text", v, at);
	if (json_string_length(v) > max)
		return place_err(r->e, -EINVAL, at, "%zu bytes are too long: at most %zu.",
				 json_string_length(v), max);
	s = json_string_value(v);
	if (*s && f->format == STR_MAC && !is_mac(s))
		return place_err(r->e, -EINVAL, at,
				 "\"%.40s\" is not a MAC address like 02:00:00:00:00:01.", s);
	if (f->format == STR_FILTER && filter_read(s, &filter, NULL) < 0)
		return place_err(r->e, -EINVAL, at,
				 "\"%.60s\" is not OP(FIELD,VALUE) with OP one of eq ne co nc sw gt ge lt le.", s);
	if (*s && f->format == STR_IP && inet_pton(AF_INET, s, raw) != 1 &&
	    inet_pton(AF_INET6, s, raw) != 1)
		return place_err(r->e, -EINVAL, at, "\"%.60s\" is not an IP address.", s);
	if (!*s && (f->flags & F_REQUIRED))
		return place_err(r->e, -EINVAL, at, "Must not be empty.");
	if (strcmp(f->name, "name") == 0 && !is_one_line(s))
		return place_err(r->e, -EINVAL, at, "Must not hold control characters.");
	*out = json_incref((json_t *)v);
	return 0;
}

/*
 * Texts like vip_id, route_id, priority_label or a label's value look like numbers, and are written as such
 * in YAML. Nobody means that of a name; and of a secret YAML may have taken away zeros.
 */
static int read_text(struct reader *r, const struct field_desc *f, const json_t *v, json_t **out,
		     const struct place *at)
{
	CLEANUP_JSON json_t *digits = NULL;

	if (json_is_integer(v) && strcmp(f->name, "name") != 0 && !(f->flags & F_SECRET))
		digits = json_sprintf("%lld", (long long)json_integer_value(v));
	return read_str(r, f, digits ? digits : v, out, at);
}

static int unknown_word(struct reader *r, const char *words, const char *given,
			const struct place *at)
{
	enum { MOST = 512 };
	char *known[MOST], *list = xstrdup(words);
	const char *near;
	size_t n = 0;
	int rc;

	for (char *p = list; p && n < MOST; p = strchr(p, ',') ? strchr(p, ',') + 2 : NULL)
		known[n++] = p;
	for (size_t i = 1; i < n; i++)
		known[i][-2] = '\0';
	near = model_nearest(given, (const char *const *)known, n);
	if (strlen(words) <= 200)
		rc = place_err(r->e, -EINVAL, at, "\"%.80s\" is not one of %s.", given, words);
	else if (near)
		rc = place_err(r->e, -EINVAL, at, "\"%.80s\" is not known; did you mean %s?", given,
			       near);
	else
		rc = place_err(r->e, -EINVAL, at, "\"%.80s\" is not known; known are %.300s ...",
			       given, words);
	free(list);
	return rc;
}

static int read_enum(struct reader *r, const struct field_desc *f, const json_t *v, json_t **out,
		     const struct place *at)
{
	const char *s = json_string_value(v);

	if (!s)
		return wrong_type(r, "a text", v, at);
	if (word_index(f->values, s) < 0)
		return unknown_word(r, f->values, s, at);
	if (f->built && word_index(f->built, s) < 0 && !(f->flags & (F_LATER_STORED | F_PASSED_OVER)) &&
	    !(r->flags & MODEL_ALLOW_LATER))
		return place_err(r->e, -EINVAL, at, "%s is not built yet; choose %s.%s%s", s, f->built,
				 f->why ? " " : "", f->why ? f->why : "");
	*out = json_incref((json_t *)v);
	return 0;
}

static int read_ref(struct reader *r, const struct field_desc *f, const char *text, json_t **out,
		    const struct place *at)
{
	const struct kind_desc *k = kind_find(f->ref);
	char uuid[128];
	int rc = -ENOENT;

	if (r->e)
		r->e->text[0] = '\0';
	if (!r->resolver) {
		/* Without a store only the stored form is understood. */
		size_t n = strlen(f->ref);

		if (strncmp(text, "/api/", 5) == 0 && strncmp(text + 5, f->ref, n) == 0 &&
		    text[5 + n] == '/') {
			*out = json_string(text);
			return 0;
		}
	} else {
		rc = r->resolver->resolve(r->resolver, f->ref, text, uuid, sizeof(uuid), r->e);
	}
	if (rc < 0) {
		if (rc == -ENOENT && (!r->e || !r->e->text[0]))
			return place_err(r->e, rc, at, "%s object not found (%.100s).",
					 k ? k->msg->name : f->ref, text);
		if (r->e)
			place_text(at, r->e->path, sizeof(r->e->path));
		return rc;
	}
	*out = json_sprintf("/api/%s/%s", f->ref, uuid);
	return 0;
}

/* One value, or one item of a list. */
static int read_item(struct reader *r, const struct field_desc *f, const json_t *v, json_t **out,
		     const struct place *at)
{
	if (json_is_null(v))
		return place_err(r->e, -EINVAL, at, "null is not an item; leave it out.");
	switch (f->type) {
	case FT_BOOL:
		return read_bool(r, v, out, at);
	case FT_INT:
		return read_int(r, f, v, out, at);
	case FT_FLOAT:
		return read_float(r, f, v, out, at);
	case FT_STR:
		return read_text(r, f, v, out, at);
	case FT_ENUM:
		return read_enum(r, f, v, out, at);
	case FT_REF:
		if (!json_is_string(v))
			return wrong_type(r, "a reference", v, at);
		return read_ref(r, f, json_string_value(v), out, at);
	case FT_MSG:
		return read_message(r, f->msg, v, out, at);
	}
	return -EINVAL;
}

static int refuse_duplicates(struct reader *r, const struct field_desc *f, const json_t *list,
			     const struct place *at)
{
	CLEANUP_JSON json_t *seen = json_object();
	struct buf key = BUF_INIT;
	int rc = 0;
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item) {
		const json_t *first;

		buf_take(&key, key.len);
		if (!item_key(f, item, &key))
			break;
		first = json_object_get(seen, buf_cstr(&key));
		if (first) {
			struct place here = { .up = at, .index = i };

			rc = place_err(r->e, -EINVAL, &here,
				       "Is the same as item %lld of the list.",
				       (long long)json_integer_value(first));
			break;
		}
		json_object_set_new(seen, buf_cstr(&key), json_integer((json_int_t)i));
	}
	buf_fini(&key);
	return rc;
}

static int read_list(struct reader *r, const struct field_desc *f, const json_t *v, json_t **out,
		     const struct place *at)
{
	CLEANUP_JSON json_t *list = json_array();
	size_t n = json_array_size(v);
	const json_t *item;
	size_t i;

	if (!json_is_array(v))
		return wrong_type(r, "a list", v, at);
	if (n < f->min_items || (f->max_items && n > f->max_items))
		return place_err(r->e, -EINVAL, at, "%zu items are too %s: at %s %u.", n,
				 n < f->min_items ? "few" : "many",
				 n < f->min_items ? "least" : "most",
				 n < f->min_items ? f->min_items : f->max_items);
	json_array_foreach(v, i, item) {
		struct place here = { .up = at, .index = i };
		json_t *one = NULL;
		int rc;

		if (f->old_key && json_is_object(item) && json_object_get(item, f->old_key))
			item = json_object_get(item, f->old_key);
		rc = read_item(r, f, item, &one, &here);
		if (rc < 0)
			return rc;
		json_array_append_new(list, one);
	}
	if (f->type == FT_MSG && refuse_duplicates(r, f, list, at) < 0)
		return -EINVAL;
	*out = json_incref(list);
	return 0;
}

/* What has no effect yet is refused where its silence would be dangerous, and told otherwise. */
static int not_built(struct reader *r, const struct field_desc *f, const json_t *v,
		     const struct place *at)
{
	if (value_is_default(f, v))
		return 0;
	if ((f->flags & F_DANGEROUS) && !(f->flags & F_LATER_STORED) && !(r->flags & MODEL_ALLOW_LATER)) {
		if (f->why)
			return place_err(r->e, -EINVAL, at, "%s", f->why);
		return place_err(
			r->e, -EINVAL, at,
			"Is not built yet; without effect it would mislead. Leave it out.");
	}
	if (f->inert && r->notes)
		note(&r->notes->inert, at);
	return 0;
}

/*
 * What the manager of some hypervisors saw there: objects that nobody configures, to which exported pools and
 * groups refer all the same.
 */
static bool was_discovered(const struct field_desc *f)
{
	return f->type == FT_REF && strncmp(f->ref, "vimgr", strlen("vimgr")) == 0 && !(f->flags & F_REQUIRED);
}

/* A dangerous reference is told as such, not as "object not found". */
static int read_field(struct reader *r, const struct field_desc *f, const json_t *v, json_t **out,
		      const struct place *at)
{
	struct reader quiet = *r;
	int rc;

	if (f->type == FT_REF && (f->flags & F_DANGEROUS) && !(r->flags & MODEL_ALLOW_LATER)) {
		rc = not_built(r, f, v, at);
		if (rc < 0)
			return rc;
	}
	/* The message is noted as a whole, not each field inside it. */
	if (f->inert)
		quiet.notes = NULL;
	rc = f->list ? read_list(&quiet, f, v, out, at) : read_item(&quiet, f, v, out, at);
	if (rc == 0 && (f->inert || (f->flags & F_DANGEROUS)))
		rc = not_built(r, f, *out, at);
	if (rc < 0) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}

static int unknown_field(struct reader *r, const struct message_desc *m, const char *key,
			 const struct place *at)
{
	const char **known, *near;

	if (!(r->flags & MODEL_STRICT)) {
		if (r->notes)
			note(&r->notes->ignored, at);
		return 0;
	}
	known = xcalloc(m->n_fields, sizeof(*known));
	for (size_t i = 0; i < m->n_fields; i++)
		known[i] = m->fields[i].name;
	near = model_nearest(key, known, m->n_fields);
	free(known);
	if (near)
		return place_err(r->e, -EINVAL, at, "Is not a field of %s; did you mean %s?",
				 m->name, near);
	return place_err(r->e, -EINVAL, at, "Is not a field of %s.", m->name);
}

/* What clients send for "nothing": null, which is a None of Python, and an empty reference. */
static bool says_nothing(const struct field_desc *f, const json_t *v)
{
	return json_is_null(v) || (f->type == FT_REF && !f->list && json_is_string(v) &&
				   json_string_length(v) == 0);
}

static int fill_in(struct reader *r, const struct field_desc *f, json_t *out,
		   const struct place *at)
{
	struct place here = { .up = at, .name = f->name };
	json_t *v = NULL;
	int rc = 0;

	if (json_object_get(out, f->name))
		return 0;
	if (f->type == FT_REF && f->dflt) {
		char text[256];

		if (!r->resolver)
			return 0;
		snprintf(text, sizeof(text), "/api/%s?name=%s", f->ref, f->dflt);
		rc = read_ref(r, f, text, &v, &here);
	} else if (f->flags & F_REQUIRED) {
		v = field_default(f, NULL);
		if (!v)
			return place_err(r->e, -EINVAL, &here, "Is required.");
	}
	if (v)
		json_object_set_new(out, f->name, v);
	return rc;
}

/* *OUT stays NULL for what is dropped. */
static int read_member(struct reader *r, const struct message_desc *m, const char *key,
		       const json_t *v, json_t **out, const struct place *at)
{
	const struct field_desc *f = field_find(m, key);
	struct place here = { .up = at, .name = key };

	if (!f)
		return unknown_field(r, m, key, &here);
	if ((f->flags & F_READONLY) || says_nothing(f, v))
		return 0;
	if (was_discovered(f) && !(r->flags & MODEL_STRICT)) {
		if (r->notes)
			note(&r->notes->ignored, &here);
		return 0;
	}
	return read_field(r, f, v, out, &here);
}

/* Old bodies say application_profile_name and the like for the reference; which counts, where both stand. */
static const char *present_key(const struct message_desc *m, const json_t *in, const char *key)
{
	static const char old[] = "_profile_name";
	size_t n = strlen(key), tail = strlen("name");
	const struct field_desc *f;
	char ref[64];

	if (n < sizeof(old) || n >= sizeof(ref) || strcmp(key + n + 1 - sizeof(old), old) != 0)
		return key;
	snprintf(ref, sizeof(ref), "%.*sref", (int)(n - tail), key);
	f = field_find(m, ref);
	return !f || field_find(m, key) || json_object_get(in, ref) ? key : f->name;
}

static int read_message(struct reader *r, const struct message_desc *m, const json_t *in,
			json_t **out, const struct place *at)
{
	CLEANUP_JSON json_t *o = json_object();
	const char *key;
	json_t *v;
	int rc;

	if (!json_is_object(in))
		return wrong_type(r, "an object", in, at);
	json_object_foreach((json_t *)in, key, v) {
		const char *name = present_key(m, in, key);
		json_t *value = NULL;

		rc = read_member(r, m, name, v, &value, at);
		if (rc < 0)
			return rc;
		if (value)
			json_object_set_new(o, name, value);
	}
	if (r->flags & MODEL_PARTIAL) {
		*out = json_incref(o);
		return 0;
	}
	for (size_t i = 0; i < m->n_fields; i++) {
		rc = fill_in(r, &m->fields[i], o, at);
		if (rc < 0)
			return rc;
	}
	rc = m->check ? m->check(o, r->e) : 0;
	if (rc < 0) {
		char path[sizeof(r->e->path)];

		err_within(r->e, place_text(at, path, sizeof(path)));
		return rc;
	}
	*out = json_incref(o);
	return 0;
}

int model_read(const struct kind_desc *k, const json_t *wire, unsigned flags,
	       struct model_resolver *resolver, json_t **out, struct model_notes *notes,
	       struct err *e)
{
	struct reader r = { .flags = flags, .resolver = resolver, .notes = notes, .e = e };
	json_t *o = NULL;
	int rc;

	*out = NULL;
	if (!json_is_object(wire))
		return err_set(e, -EINVAL, NULL, "The body must be an object, not %s.",
			       type_name(wire));
	rc = read_message(&r, k->msg, wire, &o, NULL);
	if (rc == 0 && k->check)
		rc = k->check(o, e);
	if (rc < 0) {
		json_decref(o);
		return rc;
	}
	*out = o;
	return 0;
}

int model_read_field(const struct message_desc *m, const char *key, const json_t *v, unsigned flags,
		     struct model_resolver *resolver, json_t **out, struct model_notes *notes,
		     struct err *e)
{
	struct reader r = { .flags = flags, .resolver = resolver, .notes = notes, .e = e };

	*out = NULL;
	return read_member(&r, m, key, v, out, NULL);
}

int model_fits(const struct kind_desc *k, const json_t *stored, struct err *e)
{
	json_t *out = NULL;
	int rc = model_read(k, stored, MODEL_ALLOW_LATER, NULL, &out, NULL, e);

	json_decref(out);
	return rc;
}

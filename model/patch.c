/*
 * patch - changes of a stored object: PATCH, and PUT over what is there.
 *
 * A PATCH is merged one level deep: a scalar or message is set, a list gets its items by key. What
 * the client sent is read first, so that "80" and 80, or two spellings of a reference, are the same
 * item; the merged whole is then read like any other object.
 */
#include "base/base.h"

#include <errno.h>

#include "model/internal.h"

/* Items of LIST by key: an object of key text -> index. */
static json_t *keys_of(const struct field_desc *f, const json_t *list)
{
	json_t *keys = json_object();
	struct buf key = BUF_INIT;
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		buf_take(&key, key.len);
		item_key(f, item, &key);
		json_object_set_new(keys, buf_cstr(&key), json_integer((json_int_t)i));
	}
	buf_fini(&key);
	return keys;
}

static const json_t *key_lookup(const struct field_desc *f, const json_t *keys, const json_t *item)
{
	struct buf key = BUF_INIT;
	const json_t *found;

	item_key(f, item, &key);
	found = json_object_get(keys, buf_cstr(&key));
	buf_fini(&key);
	return found;
}

/* Items with a known key replace, the others are appended. */
static void list_add(const struct field_desc *f, json_t *list, const json_t *more)
{
	CLEANUP_JSON json_t *keys = keys_of(f, list);
	json_t *item;
	size_t i;

	json_array_foreach(more, i, item) {
		const json_t *at = key_lookup(f, keys, item);

		if (at)
			json_array_set(list, (size_t)json_integer_value(at), item);
		else
			json_array_append(list, item);
	}
}

static json_t *list_without(const struct field_desc *f, const json_t *list, const json_t *less)
{
	CLEANUP_JSON json_t *keys = keys_of(f, less);
	json_t *out = json_array(), *item;
	size_t i;

	json_array_foreach(list, i, item)
		if (!key_lookup(f, keys, item))
			json_array_append(out, item);
	return out;
}

enum patch_op { PATCH_ADD, PATCH_REPLACE, PATCH_DELETE };

/* OPERAND has been read; STORED is changed. */
static void apply(enum patch_op op, json_t *stored, const struct field_desc *f, json_t *operand)
{
	json_t *have = json_object_get(stored, f->name);

	if (op == PATCH_DELETE && f->list && json_array_size(operand)) {
		json_t *left = list_without(f, have, operand);

		json_object_del(stored, f->name);
		if (json_array_size(left))
			json_object_set(stored, f->name, left);
		json_decref(left);
	} else if (op == PATCH_DELETE) {
		json_object_del(stored, f->name);
	} else if (op == PATCH_ADD && f->list && have) {
		list_add(f, have, operand);
	} else {
		json_object_set(stored, f->name, operand);
	}
}

/* Clients that must give a required field give it with a delete, too: it says which object is meant. */
static bool says_what_is(const struct kind_desc *k, const json_t *stored, const char *key, const json_t *v, unsigned flags,
			 struct model_resolver *r)
{
	CLEANUP_JSON json_t *said = NULL;

	return model_read_field(k->msg, key, v, flags, r, &said, NULL, NULL) == 0 && said &&
	       json_equal(said, json_object_get(stored, key));
}

static int apply_all(const struct kind_desc *k, enum patch_op op, const char *name,
		     const json_t *operands, json_t *stored, unsigned flags,
		     struct model_resolver *r, struct model_notes *notes, struct err *e)
{
	const char *key;
	json_t *v;

	if (!json_is_object(operands))
		return err_set(e, -EINVAL, name, "Must be an object of fields.");
	json_object_foreach((json_t *)operands, key, v) {
		const struct field_desc *f = field_find(k->msg, key);
		json_t *operand = NULL;
		int rc;

		/*
		 * A scalar is deleted by its name; the value that comes along does not matter. To
		 * replace by null is to delete, too.
		 */
		if (f && ((op == PATCH_DELETE && (!f->list || !json_is_array(v))) ||
			  (op == PATCH_REPLACE && json_is_null(v)))) {
			if (!(f->flags & F_REQUIRED)) {
				apply(PATCH_DELETE, stored, f, NULL);
			} else if (!says_what_is(k, stored, key, v, flags, r)) {
				rc = err_set(e, -EINVAL, key, "Is required and cannot be deleted.");
				err_within(e, name);
				return rc;
			}
			continue;
		}
		rc = model_read_field(k->msg, key, v,
				      op == PATCH_DELETE ? flags | MODEL_PARTIAL : flags, r,
				      &operand, notes, e);
		if (rc < 0) {
			err_within(e, name);
			return rc;
		}
		if (operand)
			apply(op, stored, f, operand);
		json_decref(operand);
	}
	return 0;
}

int model_patch(const struct kind_desc *k, const json_t *stored, const json_t *patch,
		unsigned flags, struct model_resolver *r, json_t **out, struct model_notes *notes,
		struct err *e)
{
	static const char *const names[] = {
		[PATCH_ADD] = "add", [PATCH_REPLACE] = "replace", [PATCH_DELETE] = "delete"
	};
	CLEANUP_JSON json_t *merged = json_deep_copy(stored);
	const char *key;
	json_t *v;
	int rc;

	*out = NULL;
	if (!json_is_object(patch) || !json_object_size(patch))
		return err_set(e, -EINVAL, NULL,
			       "A PATCH is an object with add, replace or delete.");
	json_object_foreach((json_t *)patch, key, v) {
		size_t op = 0;

		while (op < ARRAY_SIZE(names) && strcmp(names[op], key) != 0)
			op++;
		if (op == ARRAY_SIZE(names))
			return place_err(e, -EINVAL, &(struct place){ .name = key },
					 "Is not an operation: add, replace and delete are.");
	}
	for (size_t op = 0; op < ARRAY_SIZE(names); op++) {
		v = json_object_get(patch, names[op]);
		rc = v ? apply_all(k, (enum patch_op)op, names[op], v, merged, flags, r, notes, e)
		       : 0;
		if (rc < 0)
			return rc;
	}
	/* The fields that came were noted above; what the store held is not news. */
	rc = model_read(k, merged, flags | MODEL_ALLOW_STORED, r, out, NULL, e);
	if (rc < 0)
		return rc;
	rc = model_replace(k, stored, *out, e);
	if (rc < 0) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}

/* ---- PUT over what is there ------------------------------------------ */

static bool is_masked(const json_t *v)
{
	return json_is_string(v) && strcmp(json_string_value(v), model_masked) == 0;
}

static void keep_secrets(const struct message_desc *m, const json_t *old, json_t *fresh);

static void keep_secrets_in_list(const struct field_desc *f, const json_t *old, json_t *fresh)
{
	CLEANUP_JSON json_t *keys = keys_of(f, old);
	json_t *item;
	size_t i;

	json_array_foreach(fresh, i, item) {
		const json_t *at = key_lookup(f, keys, item);

		/* Items without a key are the same item when they stand at the same place. */
		keep_secrets(f->msg, json_array_get(old, at ? (size_t)json_integer_value(at) : i),
			     item);
	}
}

static void keep_secrets(const struct message_desc *m, const json_t *old, json_t *fresh)
{
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct field_desc *f = &m->fields[i];
		json_t *b = json_object_get(fresh, f->name), *a = json_object_get(old, f->name);

		if (!b)
			continue;
		if (f->type == FT_MSG && has_secrets(f->msg)) {
			if (f->list)
				keep_secrets_in_list(f, a, b);
			else
				keep_secrets(f->msg, a, b);
		} else if ((f->flags & F_SECRET) && is_masked(b)) {
			if (a)
				json_object_set(fresh, f->name, a);
			else
				json_object_del(fresh, f->name);
		}
	}
}

int model_replace(const struct kind_desc *k, const json_t *old, json_t *fresh, struct err *e)
{
	for (size_t i = 0; i < k->msg->n_fields; i++) {
		const struct field_desc *f = &k->msg->fields[i];
		json_t *a = json_object_get(old, f->name), *b = json_object_get(fresh, f->name);

		if (!(f->flags & F_IMMUTABLE) || !a)
			continue;
		if (!b)
			json_object_set(fresh, f->name, a);
		else if (!json_equal(a, b))
			return err_set(e, -EINVAL, f->name, "Is fixed after creation.");
	}
	keep_secrets(k->msg, old, fresh);
	return k->check_change && old ? k->check_change(old, fresh, e) : 0;
}

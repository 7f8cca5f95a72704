#include "controller/store/test_kinds.h"

#include "base/base.h"

static const struct field_desc named_fields[] = {
	{ .name = "name", .help = "Its name.", .type = FT_STR, .flags = F_REQUIRED | F_KEY },
};

static const struct message_desc messages[] = {
	{ .name = "Tenant", .fields = named_fields, .n_fields = 1 },
	{ .name = "Cloud", .fields = named_fields, .n_fields = 1 },
	{ .name = "ServerGroup", .fields = named_fields, .n_fields = 1 },
	{ .name = "Service", .fields = named_fields, .n_fields = 1 },
	{ .name = "Options" },
};

const struct kind_desc test_tenant = { .path = "tenant", .msg = &messages[0] };
const struct kind_desc test_cloud = { .path = "cloud", .msg = &messages[1] };
const struct kind_desc test_group = { .path = "group", .msg = &messages[2] };
const struct kind_desc test_service = { .path = "service", .msg = &messages[3] };
const struct kind_desc test_options = { .path = "options",
					.msg = &messages[4],
					.flags = K_SINGLETON };

const struct kind_desc *const model_kinds[] = {
	&test_tenant, &test_cloud, &test_group, &test_service, &test_options,
};
const size_t model_n_kinds = ARRAY_SIZE(model_kinds);

static int one_ref(const char *path, const json_t *v,
		   int (*f)(void *, const char *, const char *, const char *), void *arg)
{
	char kind[64], uuid[128];

	if (!json_is_string(v) ||
	    sscanf(json_string_value(v), "/api/%63[^/]/%127s", kind, uuid) != 2)
		return 0;
	return f(arg, path, kind, uuid);
}

int model_refs(const struct kind_desc *k, const json_t *stored,
	       int (*f)(void *arg, const char *path, const char *kind, const char *uuid), void *arg)
{
	const char *key;
	json_t *v, *item;
	char path[64];
	size_t i;
	int rc = 0;
	(void)k;

	json_object_foreach((json_t *)stored, key, v) {
		if (json_is_string(v) && strstr(key, "_ref") && !rc)
			rc = one_ref(key, v, f, arg);
		if (!json_is_array(v))
			continue;
		json_array_foreach(v, i, item) {
			snprintf(path, sizeof(path), "%s[%zu]", key, i);
			if (!rc)
				rc = one_ref(path, item, f, arg);
		}
	}
	return rc;
}

/* A service has a secret: its password. */
json_t *model_map_secrets(const struct kind_desc *k, const json_t *stored,
			  char *(*f)(void *arg, const char *path, const char *value), void *arg)
{
	const char *password = json_str(stored, "password", NULL);
	json_t *out;
	char *text;

	if (k != &test_service || !password)
		return json_incref((json_t *)stored);
	text = f(arg, "password", password);
	if (!text)
		return NULL;
	out = json_copy((json_t *)stored);
	json_object_set_new(out, "password", json_string(text));
	free(text);
	return out;
}

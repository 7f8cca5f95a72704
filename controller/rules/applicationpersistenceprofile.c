/* applicationpersistenceprofile: a secret for cookies, where the client gives none. */
#include <openssl/rand.h>

#include "base/base.h"
#include "controller/rules.h"

static json_t *secret(void)
{
	unsigned char raw[32];
	char text[2 * sizeof(raw) + 1];

	must(RAND_bytes(raw, sizeof(raw)) == 1);
	for (size_t i = 0; i < sizeof(raw); i++)
		snprintf(text + 2 * i, 3, "%02x", raw[i]);
	return json_string(text);
}

/* It stays when the object is written without it: cookies that are out there go on being good. */
static int fill(struct change *c, const char *uuid, const json_t *old, json_t *new, struct err *e)
{
	json_t *profile = json_object_get(new, "http_cookie_persistence_profile"), *keys;

	(void)c;
	(void)uuid;
	(void)e;
	if (strcmp(json_str(new, "persistence_type", ""), "PERSISTENCE_TYPE_HTTP_COOKIE") != 0)
		return 0;
	if (!profile) {
		profile = json_object();
		json_object_set_new(new, "http_cookie_persistence_profile", profile);
	}
	if (json_array_size(json_object_get(profile, "key")) || json_object_get(profile, "encryption_key"))
		return 0;
	keys = json_object_get(json_object_get(old, "http_cookie_persistence_profile"), "key");
	if (json_array_size(keys)) {
		json_object_set_new(profile, "key", json_deep_copy(keys));
		return 0;
	}
	json_object_set_new(profile, "key", json_pack("[{s:s, s:o, s:o}]", "name", "key-1", "aes_key", secret(),
						      "hmac_key", secret()));
	return 0;
}

const struct rule rule_applicationpersistenceprofile = { .kind = "applicationpersistenceprofile", .fill = fill };

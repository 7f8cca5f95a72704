#include "controller/backup/restore.h"

#include <errno.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/base.h"
#include "base/buf.h"
#include "controller/audit.h"
#include "controller/ca.h"
#include "controller/change.h"
#include "controller/resolve.h"
#include "controller/store/staged.h"

/* ---- everything ------------------------------------------------------------------------------ */

static int put_object(void *arg, const struct kind_desc *k, json_t *body, bool system, struct err *e)
{
	const char *uuid = json_str(body, "uuid", ""), *tenant = "", *cloud = "";

	if (!*uuid || strlen(uuid) >= UUID_MAX)
		return err_set(e, -EINVAL, "uuid", "An object has one.");
	if (k->flags & K_TENANT)
		tenant = ref_target(json_str(body, "tenant_ref", NULL));
	if (k->flags & K_CLOUD)
		cloud = ref_target(json_str(body, "cloud_ref", NULL));
	return txn_create(arg, k, uuid, tenant, cloud, body, system, e);
}

static int put_value(void *arg, const char *space, const char *key, const char *value, struct err *e)
{
	return txn_set(arg, space, key, value, e);
}

static int fill(const struct archive *a, struct store *s, const char *by, struct err *e)
{
	struct txn *t = txn_begin(s);
	const char *made = json_str(json_object_get(a->root, "META"), "made", "?");
	int rc = archive_objects(a, put_object, t, e);

	if (rc == 0)
		rc = archive_values(a, put_value, t, e);
	/* Without these nobody could log in, and nothing would be found. */
	if (rc == 0 && (!store_get(s, "tenant", TENANT_ADMIN) || !store_get(s, "systemconfiguration", "default") ||
			!store_count(s, "user")))
		rc = err_set(e, -EINVAL, NULL, "The file holds no full system: its tenant admin, its users or its configuration are missing.");
	if (rc < 0) {
		txn_abort(t);
		return rc;
	}
	txn_event(t, audit_event("CONFIG_ACTION", "CONFIG", NULL, NULL, NULL, TENANT_ADMIN,
				 json_pack("{s:{s:s, s:s, s:s}}", "config_action_details", "action_name", "import", "user", by,
					   "status", "SYSERR_SUCCESS"),
				 "The full system of an export of %s was restored by %s.", made, by));
	return txn_commit(t, NULL, e);
}

static int put_file(const struct archive *a, const char *dir, const char *name, unsigned mode, struct err *e)
{
	CLEANUP_FREE char *path = xasprintf("%s/%s", dir, name), *text = archive_file(a, name);
	int rc;

	if (!text)
		return err_set(e, -EINVAL, "META.files", "The file is damaged: %s is missing, or does not open.", name);
	rc = file_replace(path, text, strlen(text), mode);
	OPENSSL_cleanse(text, strlen(text));
	return rc < 0 ? err_set(e, rc, NULL, "Cannot write %s: %s.", path, strerror(-rc)) : 0;
}

/* The store that is made seals with the key of the folder where it is going to live. */
static int lend_key(const char *from, const char *to, struct err *e)
{
	CLEANUP_FREE char *here = xasprintf("%s/kek", from), *there = xasprintf("%s/kek", to);
	char *text = NULL;
	size_t len;
	int rc = file_read(here, 4096, &text, &len);

	if (rc == -ENOENT) /* a credential of systemd's */
		return 0;
	if (rc == 0) {
		rc = file_replace(there, text, len, 0600);
		OPENSSL_cleanse(text, len);
		free(text);
	}
	return rc < 0 ? err_set(e, rc, NULL, "Cannot copy %s: %s.", here, strerror(-rc)) : 0;
}

static void take_away(const char *dir, const char *name)
{
	CLEANUP_FREE char *path = xasprintf("%s/%s", dir, name);

	unlink(path);
}

int restore_stage(const struct archive *a, const char *dir, const char *by, struct err *e)
{
	CLEANUP_FREE char *next = NULL;
	struct store *s = NULL;
	struct ca *ca = NULL;
	int rc = staged_begin(dir, &next, e);

	if (rc == 0)
		rc = lend_key(dir, next, e);
	if (rc == 0)
		rc = store_open(next, &s, e);
	if (rc == 0)
		rc = fill(a, s, by, e);
	store_close(s);
	if (rc == 0)
		rc = put_file(a, next, "ca.key", 0600, e);
	if (rc == 0)
		rc = put_file(a, next, "ca.pem", 0644, e);
	/* Do they belong together? And it makes the server's certificate. */
	if (rc == 0)
		rc = ca_open(next, NULL, &ca, e);
	ca_close(ca);
	if (!next)
		return rc;
	take_away(next, "store.lock");
	take_away(next, "kek");
	return rc < 0 ? rc : staged_ready(dir, e);
}

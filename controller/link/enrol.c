/*
 * An engine joins: a token is spent, a certificate signed, a serviceengine
 * object made, all in one transaction.
 *
 * A name that is known already is taken over by who has a token for its group,
 * as long as nobody by that name is connected: an engine that lost its disk
 * comes back as itself, and the certificate that it had is worth nothing from then on.
 */
#include <errno.h>

#include "base/log.h"
#include "controller/audit.h"
#include "controller/ca.h"
#include "controller/change.h"
#include "controller/link/fleet.h"
#include "controller/resolve.h"
#include "controller/token.h"
#include "net/tls.h"

#define SPACE "engine"

static int check_name(const char *name, struct err *e)
{
	size_t n = strspn(name,
			  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._");

	if (n == 0 || n > 128 || name[n])
		return err_set(
			e, -EINVAL, "name",
			"the name of an engine has 1 to 128 letters, digits, '-', '.' and '_'");
	return 0;
}

/* The object of that name: made, or taken over. */
static int find_or_make(struct fleet *f, struct change *c, const char *name,
			const struct object *group, char *uuid, struct err *e)
{
	const struct object *o = store_find(f->store, "serviceengine", NULL, group->cloud, name);
	CLEANUP_FREE char *group_ref = xasprintf("/api/serviceenginegroup/%s", group->uuid);
	CLEANUP_FREE char *cloud_ref = xasprintf("/api/cloud/%s", group->cloud);
	CLEANUP_JSON json_t *wire = NULL;
	const struct engine *known;

	if (!o) {
		wire = json_pack("{s:s, s:s, s:s}", "name", name, "se_group_ref", group_ref,
				 "cloud_ref", cloud_ref);
		uuid[0] = '\0';
		return change_create(c, kind_find("serviceengine"), wire, uuid, e);
	}
	known = fleet_engine(f, o->uuid);
	if (known && known->control)
		return err_set(e, -EBUSY, NULL,
			       "another service engine with the name %s is connected", name);
	if (strcmp(ref_target(json_str(o->body, "se_group_ref", NULL)), group->uuid) != 0)
		return err_set(e, -EEXIST, NULL,
			       "the name %s belongs to a service engine of another group", name);
	snprintf(uuid, UUID_MAX, "%s", o->uuid);
	return 0;
}

static int join(struct fleet *f, struct change *c, const json_t *msg, char *uuid,
		char **certificate, struct err *e)
{
	const struct object *group;
	struct token token;
	char fingerprint[TLS_FINGERPRINT];
	CLEANUP_JSON json_t *kept = NULL;
	CLEANUP_FREE char *text = NULL;
	int rc = token_spend(f->store, c->txn, json_str(msg, "token", ""), wall_us(), &token, e);

	if (rc < 0)
		return rc;
	group = store_get(f->store, "serviceenginegroup", token.group);
	if (!group)
		return err_set(e, -EACCES, NULL,
			       "the service engine group of the token is no more");
	rc = find_or_make(f, c, json_str(msg, "name", ""), group, uuid, e);
	if (rc == 0)
		rc = ca_sign_csr(f->controller->ca, json_str(msg, "csr", ""), uuid, certificate, e);
	if (rc == 0)
		rc = tls_fingerprint(*certificate, fingerprint, e);
	if (rc < 0)
		return rc;
	kept = json_pack("{s:s}", "fingerprint", fingerprint);
	text = json_text(kept);
	return txn_set(c->txn, SPACE, uuid, text, e);
}

json_t *enrol(struct fleet *f, const json_t *msg, const char *peer, struct err *e)
{
	const struct change_by by = { .user = "system",
				      .client = peer,
				      .tenant = TENANT_ADMIN,
				      .internal = true };
	CLEANUP_FREE char *certificate = NULL;
	const char *name = json_str(msg, "name", "");
	char uuid[UUID_MAX];
	struct change c;
	int rc = check_name(name, e);

	if (rc < 0)
		return NULL;
	change_begin(&c, f->store, &by);
	rc = join(f, &c, msg, uuid, &certificate, e);
	if (rc == 0)
		rc = change_commit(&c, e);
	else
		change_abort(&c);
	model_notes_fini(&c.notes);
	if (rc < 0)
		return NULL;
	engine_event(fleet_engine(f, uuid), "CREATED_SE", "Service engine %s joined from %s.", name,
		     peer);
	return json_pack("{s:s, s:s, s:s, s:s}", "type", "enrolled", "uuid", uuid, "certificate",
			 certificate, "ca", ca_pem(f->controller->ca));
}

void enrol_fingerprint(struct fleet *f, const char *uuid, char out[static 65])
{
	CLEANUP_JSON json_t *kept = store_value_json(f->store, SPACE, uuid);

	snprintf(out, 65, "%s", json_str(kept, "fingerprint", ""));
}

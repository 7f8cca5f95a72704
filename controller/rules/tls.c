/*
 * tls: certificates are read when they are written; profiles say what OpenSSL can do; who uses a certificate
 * gets one that can be used.
 */
#include <errno.h>

#include <openssl/ssl.h>

#include "base/base.h"
#include "controller/access.h"
#include "controller/certificate.h"
#include "controller/expiry.h"
#include "controller/resolve.h"
#include "controller/revocation.h"
#include "controller/rules.h"
#include "controller/rules/tls.h"
#include "net/tls_context.h"

enum { CHAIN_MAX = 8 };

/* ---- chains ---------------------------------------------------------------------- */

struct issuer {
	struct change *change;
	const char *tenant, *dn, *pem; /* of whom it is looked for */
	const struct object *found;
};

static const char *dn_of(const json_t *cert, const char *field)
{
	return json_str(json_object_get(cert, field), "distinguished_name", "");
}

static int is_issuer(void *arg, const struct object *o)
{
	struct issuer *i = arg;
	const json_t *cert = json_object_get(o->body, "certificate");

	if (strcmp(json_str(o->body, "type", ""), "SSL_CERTIFICATE_TYPE_CA") != 0 ||
	    strcmp(dn_of(cert, "subject"), i->dn) != 0 || !access_reaches(i->change->store, i->tenant, o) ||
	    !certificate_is_issued_by(i->pem, json_str(cert, "certificate", "")))
		return 0;
	i->found = o;
	return 1;
}

/* Does what was given lead on from the certificate? A chain that came with its predecessor does not. */
static bool chain_fits(struct change *c, const json_t *new, const char *pem)
{
	const json_t *first = json_array_get(json_object_get(new, "ca_certs"), 0);
	const char *ref = json_str(first, "ca_ref", NULL);
	const struct object *o = ref ? txn_get(c->txn, "sslkeyandcertificate", ref_target(ref)) : NULL;

	return o && certificate_is_issued_by(pem, json_str(json_object_get(o->body, "certificate"), "certificate", ""));
}

/* From issuer to issuer, as far as their certificates are here. */
static void resolve_chain(struct change *c, json_t *new)
{
	json_t *cert = json_object_get(new, "certificate"), *list = json_array();
	const json_t *at = cert;
	bool whole = json_bool(at, "self_signed", false);

	for (int i = 0; i < CHAIN_MAX && !whole; i++) {
		struct issuer look = { .change = c,
				       .tenant = ref_target(json_str(new, "tenant_ref", "")),
				       .dn = dn_of(at, "issuer"),
				       .pem = json_str(at, "certificate", "") };
		const char *cn = json_str(json_object_get(at, "issuer"), "common_name", look.dn);

		store_each(c->store, "sslkeyandcertificate", is_issuer, &look);
		if (!look.found) {
			json_array_append_new(list, json_pack("{s:s}", "name", cn));
			break;
		}
		json_array_append_new(list, json_pack("{s:o, s:s}", "ca_ref",
						      json_sprintf("/api/sslkeyandcertificate/%s", look.found->uuid),
						      "name", look.found->name));
		at = json_object_get(look.found->body, "certificate");
		whole = json_bool(at, "self_signed", false);
	}
	json_object_set_new(cert, "chain_verified", json_boolean(whole));
	if (json_array_size(list))
		json_object_set(new, "ca_certs", list);
	else
		json_object_del(new, "ca_certs");
	json_decref(list);
}

/* ---- facts --------------------------------------------------------------------------- */

/*
 * What is read out of a certificate is shown as if it had been written, but not to who asks without defaults and wrote none of
 * it: Terraform takes what it has not said for what is to go. What the client wrote is kept as RULE_AS_SENT, " NAME NAME ".
 */
static void note_names(struct buf *b, const json_t *message)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)message, name, v)
		buf_printf(b, "%s ", name);
}

/* A pkiprofile has certificates in the place of the chain. */
static int facts_sent(struct change *c, const char *uuid, const json_t *wire, struct err *e)
{
	CLEANUP_FREE char *had = store_value(c->store, RULE_AS_SENT, uuid);
	struct buf b = BUF_INIT;
	json_t *one;
	size_t i;
	int rc = 0;

	buf_puts(&b, " ");
	note_names(&b, json_object_get(wire, "certificate"));
	json_array_foreach(json_object_get(wire, "ca_certs"), i, one)
		note_names(&b, one);
	if (!had || strcmp(buf_cstr(&b), had) != 0)
		rc = txn_set(c->txn, RULE_AS_SENT, uuid, buf_cstr(&b), e);
	buf_fini(&b);
	return rc;
}

static bool was_sent(const char *mark, const char *name)
{
	CLEANUP_FREE char *word = xasprintf(" %s ", name);

	return mark && strstr(mark, word);
}

static void hide_unsaid(json_t *cert, const char *mark)
{
	const char *name;
	json_t *v;
	void *next;

	json_object_foreach_safe(cert, next, name, v)
		if (strcmp(name, "certificate") != 0 && strcmp(name, "certificate_signing_request") != 0 && !was_sent(mark, name))
			json_object_del(cert, name);
}

static int facts_gone(struct change *c, const char *uuid, const json_t *old, struct err *e)
{
	(void)old;
	return txn_set(c->txn, RULE_AS_SENT, uuid, NULL, e);
}

/* ---- sslkeyandcertificate ---------------------------------------------------------- */

/* A key that is left out of a PUT stays, as a password does. */
static int certificate_sent(struct change *c, const char *uuid, const json_t *old, json_t *wire, struct err *e)
{
	json_t *was = json_object_get(old, "key");

	if (was && !json_object_get(wire, "key"))
		json_object_set(wire, "key", was);
	return facts_sent(c, uuid, wire, e);
}

static int fill_facts(json_t *cert, const char *pem, struct err *e)
{
	json_t *facts, *v;
	const char *key;
	int rc = certificate_read(pem, &facts, e);

	if (rc < 0) {
		err_within(e, "certificate.certificate");
		return rc;
	}
	json_object_foreach(facts, key, v)
		json_object_set(cert, key, v);
	json_decref(facts);
	/*
	 * They change with the time: see certificate_show(). Who has read the days writes them back; who has asked
	 * for some number compares it with what he reads.
	 */
	json_object_del(cert, "expiry_status");
	if (json_int(cert, "days_until_expire", -1) ==
	    certificate_days_left(json_str(cert, "not_after", ""), wall_us()))
		json_object_del(cert, "days_until_expire");
	return 0;
}

static int certificate_fill(struct change *c, const char *uuid, const json_t *old, json_t *new, struct err *e)
{
	bool ca = strcmp(json_str(new, "type", ""), "SSL_CERTIFICATE_TYPE_CA") == 0;
	int rc = certificate_prepare(new, old, e);
	json_t *cert = json_object_get(new, "certificate");
	const char *pem = json_str(cert, "certificate", ""), *key = json_str(new, "key", "");

	(void)uuid;
	if (rc < 0)
		return rc;
	if (!json_object_get(new, "type"))
		json_object_set_new(new, "type", json_string("SSL_CERTIFICATE_TYPE_VIRTUALSERVICE"));
	if (!*pem) {
		if (!*json_str(cert, "certificate_signing_request", ""))
			return err_set(e, -EINVAL, "certificate.certificate",
				       "Give a certificate in PEM, or a subject to make one for.");
		json_object_set_new(new, "status", json_string("SSL_CERTIFICATE_PENDING"));
		return *key ? 0 : err_set(e, -EINVAL, "key", "A signing request needs its private key.");
	}
	rc = fill_facts(cert, pem, e);
	if (rc < 0)
		return rc;
	json_object_set(new, "key_params", json_object_get(cert, "key_params"));
	json_object_set_new(new, "status", json_string("SSL_CERTIFICATE_FINISHED"));
	if (*key)
		rc = certificate_owns(pem, key, e);
	else if (!ca)
		rc = err_set(e, -EINVAL, "key", "A certificate that is shown to others needs its private key.");
	if (rc == 0 && !chain_fits(c, new, pem))
		resolve_chain(c, new);
	return rc;
}

static int certificate_gone(struct change *c, const char *uuid, const json_t *old, struct err *e)
{
	int rc = facts_gone(c, uuid, old, e);

	return rc < 0 ? rc : txn_set(c->txn, EXPIRY_SPACE, uuid, NULL, e);
}

static void certificate_show(struct store *s, const struct object *shown,
			     const struct model_write *w, struct model_resolver *r, json_t *out)
{
	bool asked = json_object_get(json_object_get(shown->body, "certificate"), "days_until_expire");
	const struct object *o = store_get(s, "controllerproperties", "global");
	json_t *days = o ? json_object_get(o->body, "ssl_certificate_expiry_warning_days") : NULL, *v;
	json_t *cert = json_object_get(out, "certificate");
	const char *not_after = json_str(cert, "not_after", "");
	int64_t left = certificate_days_left(not_after, wall_us()), warn = 30;
	size_t i;

	(void)r;
	if (w->skip_default) {
		CLEANUP_FREE char *mark = store_value(s, RULE_AS_SENT, shown->uuid);

		hide_unsaid(cert, mark);
		if (!was_sent(mark, "ca_ref") && !was_sent(mark, "name"))
			json_object_del(out, "ca_certs");
		return;
	}
	if (!*not_after)
		return;
	json_array_foreach(days, i, v)
		warn = i == 0 ? json_integer_value(v) : MAX(warn, json_integer_value(v));
	json_object_set_new(cert, "expiry_status",
			    json_string(left < 0      ? "SSL_CERTIFICATE_EXPIRED"
					: left < warn ? "SSL_CERTIFICATE_EXPIRY_WARNING"
						      : "SSL_CERTIFICATE_GOOD"));
	/* What is read must be fit to be written back: the field has a range. */
	if (asked)
		;
	else if (left >= 1)
		json_object_set_new(cert, "days_until_expire", json_integer(MIN(left, (int64_t)3650)));
	else
		json_object_del(cert, "days_until_expire");
}

const struct rule rule_sslkeyandcertificate = { .kind = "sslkeyandcertificate",
						.prepare = certificate_sent,
						.fill = certificate_fill,
						.gone = certificate_gone,
						.show = certificate_show };

/* ---- pkiprofile -------------------------------------------------------------------- */

static int fill_crls(json_t *pki, struct err *e)
{
	json_t *crl, *facts, *v;
	const char *key;
	size_t i;

	json_array_foreach(json_object_get(pki, "crls"), i, crl) {
		char path[32];

		if (revocation_read(json_str(crl, "body", ""), &facts, e) < 0) {
			snprintf(path, sizeof(path), "crls[%zu].body", i);
			err_within(e, path);
			return -EINVAL;
		}
		json_object_foreach(facts, key, v)
			json_object_set(crl, key, v);
		json_decref(facts);
	}
	return 0;
}

static int pki_fill(struct change *c, const char *uuid, const json_t *old, json_t *new, struct err *e)
{
	json_t *cert;
	size_t i;

	(void)c;
	(void)uuid;
	(void)old;
	json_array_foreach(json_object_get(new, "ca_certs"), i, cert) {
		char path[64];
		json_t *facts;
		int rc = certificate_read(json_str(cert, "certificate", ""), &facts, e);

		snprintf(path, sizeof(path), "ca_certs[%zu].certificate", i);
		if (rc < 0) {
			err_within(e, path);
			return rc;
		}
		json_decref(facts);
		rc = fill_facts(cert, json_str(cert, "certificate", ""), e);
		if (rc < 0)
			return rc;
	}
	return fill_crls(new, e);
}

static int pki_sent(struct change *c, const char *uuid, const json_t *old, json_t *wire, struct err *e)
{
	(void)old;
	return facts_sent(c, uuid, wire, e);
}

static void pki_show(struct store *s, const struct object *o, const struct model_write *w, struct model_resolver *r, json_t *out)
{
	CLEANUP_FREE char *mark = w->skip_default ? store_value(s, RULE_AS_SENT, o->uuid) : NULL;
	json_t *cert;
	size_t i;

	(void)r;
	json_array_foreach(w->skip_default ? json_object_get(out, "ca_certs") : NULL, i, cert)
		hide_unsaid(cert, mark);
}

const struct rule rule_pkiprofile = { .kind = "pkiprofile", .prepare = pki_sent, .fill = pki_fill, .gone = facts_gone, .show = pki_show };

/* ---- sslprofile -------------------------------------------------------------------- */

static bool speaks(const json_t *profile, const char *version)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(profile, "accepted_versions"), i, v)
		if (strcmp(json_str(v, "type", ""), version) == 0)
			return true;
	return false;
}

/* A list of which OpenSSL knows nothing would leave a service that nobody can talk to. */
static int enums_check(const json_t *profile, struct err *e)
{
	json_t *v, *list = json_object_get(profile, "cipher_enums");
	size_t i;

	/* Of older versions alone: nobody can use it anyway. */
	if (!speaks(profile, "SSL_VERSION_TLS1_2") && !speaks(profile, "SSL_VERSION_TLS1_3"))
		return 0;

	json_array_foreach(list, i, v) {
		const char *name = json_string_value(v);
		bool is13 = strncmp(name, "TLS_AES_", 8) == 0 || strncmp(name, "TLS_CHACHA20_", 13) == 0;

		if (tls_cipher_name(name) && speaks(profile, is13 ? "SSL_VERSION_TLS1_3" : "SSL_VERSION_TLS1_2"))
			return 0;
	}
	return json_array_size(list)
		       ? err_set(e, -EINVAL, "cipher_enums", "None of these ciphers can be spoken by the accepted versions.")
		       : 0;
}

/* Each setting by itself, so that the sentence names its field. */
static int ssl_check(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	const struct {
		const char *field;
		struct tls_settings settings;
	} parts[] = {
		{ "accepted_ciphers", { .ciphers = json_str(new, "accepted_ciphers", NULL) } },
		{ "ciphersuites", { .ciphersuites = json_str(new, "ciphersuites", NULL) } },
		{ "ec_named_curve", { .groups = json_str(new, "ec_named_curve", NULL) } },
		{ "signature_algorithm", { .sigalgs = json_str(new, "signature_algorithm", NULL) } },
		{ "dhparam", { .dhparam = json_str(new, "dhparam", NULL) } },
	};

	(void)c;
	(void)uuid;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		json_t *is = json_object_get(new, parts[i].field);
		SSL_CTX *ctx;
		int rc;

		if (!is || json_equal(is, json_object_get(old, parts[i].field)))
			continue;
		rc = tls_context_new(&parts[i].settings, &ctx, e);
		SSL_CTX_free(ctx);
		if (rc < 0) {
			err_within(e, parts[i].field);
			return rc;
		}
	}
	return enums_check(new, e);
}

const struct rule rule_sslprofile = { .kind = "sslprofile", .check = ssl_check };

/* ---- who uses them --------------------------------------------------------------------- */

/* May what REF leads to be shown to others? */
static int usable(struct change *c, const char *ref, const char *path, struct err *e)
{
	const struct object *o = ref ? txn_get(c->txn, "sslkeyandcertificate", ref_target(ref)) : NULL;

	if (!o)
		return 0;
	if (strcmp(json_str(o->body, "status", ""), "SSL_CERTIFICATE_PENDING") == 0)
		return err_set(e, -EINVAL, path, "The signing request of certificate '%s' was not answered yet.", o->name);
	if (!*json_str(o->body, "key", ""))
		return err_set(e, -EINVAL, path, "Certificate '%s' has no private key here.", o->name);
	return 0;
}

/* Whom is it shown to? The names in it, or the subject's where it has none, and the type of its key. */
static bool same_clients(const json_t *a, const json_t *b)
{
	const json_t *names = json_object_get(a, "subject_alt_names"), *others = json_object_get(b, "subject_alt_names");
	const char *key_a = json_str(json_object_get(a, "key_params"), "algorithm", ""),
		   *key_b = json_str(json_object_get(b, "key_params"), "algorithm", "");

	if (strcmp(key_a, key_b) != 0 || json_array_size(names) != json_array_size(others))
		return false;
	if (json_array_size(names))
		return json_equal(names, others);
	return strcmp(json_str(json_object_get(a, "subject"), "common_name", ""),
		      json_str(json_object_get(b, "subject"), "common_name", "")) == 0;
}

/* Of two for the same clients the second is never shown: the sentence comes before somebody waits for it. */
static void warn_of_twins(struct change *c, const json_t *certs, size_t at)
{
	const struct object *o = txn_get(c->txn, "sslkeyandcertificate", ref_target(json_string_value(json_array_get(certs, at))));

	for (size_t i = 0; o && i < at; i++) {
		const struct object *before =
			txn_get(c->txn, "sslkeyandcertificate", ref_target(json_string_value(json_array_get(certs, i))));

		if (!before || !same_clients(json_object_get(before->body, "certificate"), json_object_get(o->body, "certificate")))
			continue;
		change_warn(c, "ssl_key_and_certificate_refs[%zu]: Certificate '%.60s' has the names and the type of key of '%.60s' "
			       "before it, and is shown to nobody.",
			    at, o->name, before->name);
		return;
	}
}

/* Many tools make self-signed ones that way, and who trusts the certificate itself is content: it is no refusal. */
static void warn_of_authority(struct change *c, const json_t *certs, size_t at)
{
	const struct object *o = txn_get(c->txn, "sslkeyandcertificate", ref_target(json_string_value(json_array_get(certs, at))));
	const char *pem = o ? json_str(json_object_get(o->body, "certificate"), "certificate", "") : "";

	if (*pem && certificate_is_authority(pem))
		change_warn(c, "ssl_key_and_certificate_refs[%zu]: Certificate '%.60s' is an authority's (CA:TRUE): clients that check "
			       "it as a server's may refuse it.",
			    at, o->name);
}

int rule_tls_of_service(struct change *c, const json_t *vs, struct err *e)
{
	json_t *certs = json_object_get(vs, "ssl_key_and_certificate_refs"), *v;
	char path[64];
	size_t i;
	int rc;

	if (json_array_size(certs) > 64)
		return err_set(e, -EINVAL, "ssl_key_and_certificate_refs", "A service has at most 64 certificates.");
	json_array_foreach(certs, i, v) {
		snprintf(path, sizeof(path), "ssl_key_and_certificate_refs[%zu]", i);
		rc = usable(c, json_string_value(v), path, e);
		if (rc < 0)
			return rc;
		warn_of_twins(c, certs, i);
		warn_of_authority(c, certs, i);
	}
	json_array_foreach(json_object_get(vs, "services"), i, v) {
		const char *ref = json_str(v, "override_application_profile_ref",
					   json_str(vs, "application_profile_ref", NULL));
		const struct object *app = ref ? txn_get(c->txn, "applicationprofile", ref_target(ref)) : NULL;
		const char *type = app ? json_str(app->body, "type", "") : "";
		bool tls = json_bool(v, "enable_ssl", false);

		snprintf(path, sizeof(path), "services[%zu].enable_ssl", i);
		if (tls && !json_array_size(certs))
			return err_set(e, -EINVAL, path, "TLS needs a certificate: set ssl_key_and_certificate_refs.");
		if (tls && strcmp(type, "APPLICATION_PROFILE_TYPE_L4") == 0)
			return err_set(e, -EINVAL, path,
				       "The application profile '%s' passes bytes as they are; TLS ends at a profile of type "
				       "HTTP or SSL.",
				       app->name);
		if (!tls && strcmp(type, "APPLICATION_PROFILE_TYPE_SSL") == 0)
			return err_set(e, -EINVAL, path, "The application profile '%s' is for TLS: enable it.", app->name);
	}
	return 0;
}

static int portal_check(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	json_t *certs = json_object_get(json_object_get(new, "portal_configuration"), "sslkeyandcertificate_refs"), *v;
	char path[96];
	size_t i;
	int rc = 0;

	(void)uuid;
	(void)old;
	json_array_foreach(certs, i, v) {
		snprintf(path, sizeof(path), "portal_configuration.sslkeyandcertificate_refs[%zu]", i);
		rc = rc < 0 ? rc : usable(c, json_string_value(v), path, e);
	}
	return rc;
}

const struct rule rule_systemconfiguration = { .kind = "systemconfiguration", .check = portal_check };

int rule_tls_of_pool(struct change *c, const json_t *pool, struct err *e)
{
	return usable(c, json_str(pool, "ssl_key_and_certificate_ref", NULL), "ssl_key_and_certificate_ref", e);
}

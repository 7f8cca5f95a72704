#include "engine/tls/profile.h"

#include "base/base.h"
#include "base/buf.h"
#include "model/model.h"
#include "model/structs.h"

static const char *kept(struct buf *b, struct arena *a)
{
	const char *s = b->len ? arena_strdup(a, buf_cstr(b)) : NULL;

	buf_fini(b);
	return s;
}

/* The words of cipher_enums, which are the standard's names, split into the two lists of OpenSSL. */
static void cipher_lists(struct tls_settings *t, const struct ssl_profile *p, struct arena *a)
{
	struct buf tls12 = BUF_INIT, tls13 = BUF_INIT;

	for (size_t i = 0; i < p->cipher_enums_n; i++) {
		size_t len;
		const char *word = word_at(words_cipher_enums, (int)p->cipher_enums[i], &len);
		CLEANUP_FREE char *name = xstrndup(word, len);
		const char *ours = tls_cipher_name(name);
		bool is13 = strncmp(name, "TLS_AES_", 8) == 0 || strncmp(name, "TLS_CHACHA20_", 13) == 0;
		struct buf *b = is13 ? &tls13 : &tls12;

		if (ours)
			buf_printf(b, "%s%s", b->len ? ":" : "", ours);
	}
	/* A list without any of one version leaves that version with none: it is not spoken. */
	t->no_tls12 |= !tls12.len;
	t->no_tls13 |= !tls13.len;
	t->ciphers = kept(&tls12, a);
	t->ciphersuites = kept(&tls13, a);
}

void tls_profile_ssl(struct tls_settings *t, const struct ssl_profile *p, struct arena *a)
{
	if (!p)
		return;
	t->no_tls12 = t->no_tls13 = true;
	for (size_t i = 0; i < p->accepted_versions_n; i++) {
		t->no_tls12 &= p->accepted_versions[i].type != SSL_VERSION_TLS1_2;
		t->no_tls13 &= p->accepted_versions[i].type != SSL_VERSION_TLS1_3;
	}
	t->ciphers = p->accepted_ciphers;
	t->ciphersuites = p->ciphersuites;
	if (p->cipher_enums_n)
		cipher_lists(t, p, a);
	t->groups = p->ec_named_curve;
	t->sigalgs = p->signature_algorithm;
	t->dhparam = p->dhparam;
	t->prefer_client_ciphers = p->prefer_client_cipher_ordering;
	t->no_resumption = !p->enable_ssl_session_reuse;
	t->no_close_notify = !p->send_close_notify;
	t->session_s = (unsigned)p->ssl_session_timeout;
}

void tls_profile_pki(struct tls_settings *t, const struct pki_profile *p, struct arena *a)
{
	const char **ca, **crls;

	if (!p)
		return;
	ca = arena_get(a, (p->ca_certs_n + 1) * sizeof(*ca));
	crls = arena_get(a, (p->crls_n + 1) * sizeof(*crls));
	t->verify = true;
	t->ca = ca;
	for (size_t i = 0; i < p->ca_certs_n; i++)
		if (p->ca_certs[i].certificate && *p->ca_certs[i].certificate)
			ca[t->n_ca++] = p->ca_certs[i].certificate;
	t->crls = crls;
	for (size_t i = 0; i < p->crls_n && p->crl_check; i++)
		crls[t->n_crls++] = p->crls[i].body;
	/* The contract has it on by default, also where there are no lists. */
	t->crl_check = t->n_crls > 0;
	t->crl_whole_chain = !p->validate_only_leaf_crl;
	t->ignore_peer_chain = p->ignore_peer_chain;
	for (size_t i = 0; i < p->allow_pki_errors_n; i++) {
		t->ignore_errors |= p->allow_pki_errors[i] == ALLOW_ALL_ERRORS;
		t->crl_may_be_expired |= p->allow_pki_errors[i] == ALLOW_EXPIRED_CRL;
	}
}

bool tls_profile_identity(struct tls_identity *id, const struct ssl_key_and_certificate *c, struct tls_source *source,
			  struct arena *a)
{
	struct buf chain = BUF_INIT;

	if (!c || !c->certificate || !c->certificate->certificate || !*c->certificate->certificate || !c->key ||
	    !*c->key)
		return false;
	buf_printf(&chain, "%s\n", c->certificate->certificate);
	for (size_t i = 0; i < c->ca_certs_n; i++) {
		const struct ssl_key_and_certificate *up =
			c->ca_certs[i].ca_ref ? source->get(source, "sslkeyandcertificate", c->ca_certs[i].ca_ref)
					      : NULL;

		if (up && up->certificate && up->certificate->certificate)
			buf_printf(&chain, "%s\n", up->certificate->certificate);
	}
	id->certificate = kept(&chain, a);
	id->key = c->key;
	return true;
}

#include "engine/tls/secure.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/conn.h"
#include "engine/capture/secrets.h"
#include "engine/tls/tls.h"
#include "engine/worker.h"

struct secure_names {
	int key;                      /* EVP_PKEY_RSA, EVP_PKEY_EC ... */
	size_t n;
	const char **names;           /* lower case */
};

/* ---- names of certificates -------------------------------------------------- */

static char *lower(struct arena *a, const unsigned char *p, size_t n)
{
	char *s = arena_strndup(a, (const char *)p, n);

	for (char *c = s; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c |= 0x20;
	return s;
}

/* Of the alternative names, or where there are none the common name. */
static void names_read(struct secure_names *out, X509 *x, struct arena *a)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	size_t n = all ? (size_t)sk_GENERAL_NAME_num(all) : 0;

	out->names = arena_get(a, (n + 1) * sizeof(out->names[0]));
	for (size_t i = 0; i < n; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, (int)i);

		if (g->type == GEN_DNS)
			out->names[out->n++] = lower(a, ASN1_STRING_get0_data(g->d.dNSName),
						     (size_t)ASN1_STRING_length(g->d.dNSName));
	}
	GENERAL_NAMES_free(all);
	if (n == 0) {
		char cn[256];
		int len = X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, cn, sizeof(cn));

		if (len > 0)
			out->names[out->n++] = lower(a, (const unsigned char *)cn, (size_t)len);
	}
	out->key = EVP_PKEY_get_base_id(X509_get0_pubkey(x));
}

static int all_names(struct secure *s, struct err *e)
{
	s->names = arena_get(&s->arena, (s->settings.n_identities + 1) * sizeof(s->names[0]));
	for (size_t i = 0; i < s->settings.n_identities; i++) {
		BIO *pem = BIO_new_mem_buf(s->settings.identities[i].certificate, -1);
		X509 *x = PEM_read_bio_X509(pem, NULL, NULL, NULL);

		BIO_free(pem);
		if (!x || !X509_get0_pubkey(x)) {
			X509_free(x);
			ERR_clear_error();
			return err_set(e, -EINVAL, NULL, "A certificate cannot be read.");
		}
		names_read(&s->names[i], x, &s->arena);
		X509_free(x);
	}
	return 0;
}

/* Does PATTERN, which may begin with "*." for one label, stand for NAME? */
static bool is_for(const char *pattern, const char *name, bool wild)
{
	const char *dot;

	if (!wild)
		return strcmp(pattern, name) == 0;
	dot = strchr(name, '.');
	return pattern[0] == '*' && pattern[1] == '.' && dot && dot != name && strcmp(pattern + 1, dot) == 0;
}

size_t secure_choose(const struct secure *s, const char *asked)
{
	size_t n = strlen(asked);
	char name[256];

	if (n >= sizeof(name))
		return 0;
	for (size_t i = 0; i <= n; i++)
		name[i] = asked[i] >= 'A' && asked[i] <= 'Z' ? (char)(asked[i] | 0x20) : asked[i];
	if (n && name[n - 1] == '.')
		name[n - 1] = '\0';
	for (int wild = 0; wild < 2; wild++)
		for (size_t i = 0; i < s->settings.n_identities; i++)
			for (size_t k = 0; k < s->names[i].n; k++)
				if (is_for(s->names[i].names[k], name, wild))
					return i;
	return 0;
}

static bool share_a_name(const struct secure_names *a, const struct secure_names *b)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < b->n; k++)
			if (strcmp(a->names[i], b->names[k]) == 0)
				return true;
	return false;
}

/* ---- the whole ------------------------------------------------------------------ */

static void hash_text(EVP_MD_CTX *md, const char *s)
{
	EVP_DigestUpdate(md, s ? s : "\1", s ? strlen(s) + 1 : 2);
}

static const char *copy_text(struct arena *a, EVP_MD_CTX *md, const char *s)
{
	hash_text(md, s);
	return s ? arena_strdup(a, s) : NULL;
}

static const char *const *copy_list(struct arena *a, EVP_MD_CTX *md, const char *const *list, size_t n)
{
	const char **out = arena_get(a, (n + 1) * sizeof(*out));

	EVP_DigestUpdate(md, &n, sizeof(n));
	for (size_t i = 0; i < n; i++)
		out[i] = copy_text(a, md, list[i]);
	return out;
}

static void copy_settings(struct secure *s, const struct secure_what *what)
{
	const struct tls_settings *from = &what->settings;
	struct tls_settings *t = &s->settings;
	struct arena *a = &s->arena;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	struct tls_identity *ids = arena_get(a, (from->n_identities + 1) * sizeof(*ids));
	bool flags[] = { from->server, from->no_tls12, from->no_tls13, from->prefer_client_ciphers,
			 from->no_resumption, from->no_close_notify, from->verify, from->crl_check,
			 from->crl_whole_chain, from->crl_may_be_expired, from->ignore_errors,
			 from->ignore_peer_chain, what->sni, what->broken };

	must(md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1);
	EVP_DigestUpdate(md, flags, sizeof(flags));
	EVP_DigestUpdate(md, &from->session_s, sizeof(from->session_s));
	*t = *from;
	t->ciphers = copy_text(a, md, from->ciphers);
	t->ciphersuites = copy_text(a, md, from->ciphersuites);
	t->groups = copy_text(a, md, from->groups);
	t->sigalgs = copy_text(a, md, from->sigalgs);
	t->dhparam = copy_text(a, md, from->dhparam);
	for (size_t i = 0; i < from->n_identities; i++) {
		ids[i].certificate = copy_text(a, md, from->identities[i].certificate);
		ids[i].key = copy_text(a, md, from->identities[i].key);
	}
	t->identities = ids;
	t->ca = copy_list(a, md, from->ca, from->n_ca);
	t->crls = copy_list(a, md, from->crls, from->n_crls);
	t->hosts = copy_list(a, md, from->hosts, from->n_hosts);
	s->scope = copy_text(a, md, what->scope);
	s->server_name = copy_text(a, md, what->server_name);
	s->sni = what->sni;
	must(EVP_DigestFinal_ex(md, s->digest, NULL) == 1);
	EVP_MD_CTX_free(md);
}

int secure_new(const struct secure_what *what, unsigned n_workers, struct secure *old, struct secure **out,
	       struct err *e)
{
	struct secure *s = xcalloc(1, sizeof(*s));
	int rc;

	atomic_init(&s->refs, 1);
	s->n_workers = n_workers;
	copy_settings(s, what);
	if (old && memcmp(old->digest, s->digest, SECURE_DIGEST) == 0) {
		secure_put(s);
		*out = secure_get(old);
		return 0;
	}
	rc = all_names(s, e);
	s->broken = what->broken || rc < 0;
	s->contexts = xcalloc((size_t)n_workers * (s->settings.n_identities + 1), sizeof(s->contexts[0]));
	*out = s;
	return rc;
}

struct secure *secure_get(struct secure *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void secure_put(struct secure *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (s->contexts)
		for (size_t i = 0; i < (size_t)s->n_workers * (s->settings.n_identities + 1); i++)
			SSL_CTX_free(s->contexts[i]);
	free(s->contexts);
	arena_fini(&s->arena);
	free(s);
}

/* ---- tickets ---------------------------------------------------------------------- */

void tickets_rotate(struct tickets *t)
{
	memmove(&t->keys[1], &t->keys[0], (TICKETS - 1) * sizeof(t->keys[0]));
	random_bytes(&t->keys[0], sizeof(t->keys[0]));
	t->n = MIN(t->n + 1, (unsigned)TICKETS);
}

static bool ticket_mac(EVP_MAC_CTX *mac, struct ticket_key *k)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->mac, sizeof(k->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* Fetched once: OpenSSL 3.0 takes locks to look for it each time. */
static const EVP_CIPHER *ticket_cipher(struct worker *w)
{
	if (!w->ticket_cipher)
		w->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	return w->ticket_cipher;
}

static int ticket_key_cb(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
			 int make)
{
	struct conn *c = SSL_get_app_data(ssl);
	struct tickets *t = &c->worker->tickets;

	if (make) {
		struct ticket_key *k = &t->keys[0];

		memcpy(name, k->name, sizeof(k->name));
		random_bytes(iv, 16);
		return EVP_EncryptInit_ex(cipher, ticket_cipher(c->worker), NULL, k->cipher, iv) == 1 && ticket_mac(mac, k) ? 1 : -1;
	}
	for (unsigned i = 0; i < t->n; i++) {
		struct ticket_key *k = &t->keys[i];

		if (memcmp(name, k->name, sizeof(k->name)) != 0)
			continue;
		if (EVP_DecryptInit_ex(cipher, ticket_cipher(c->worker), NULL, k->cipher, iv) != 1 || !ticket_mac(mac, k))
			return -1;
		return i == 0 ? 1 : 2;
	}
	return 0;
}

/* ---- contexts ------------------------------------------------------------------------ */

static SSL_CTX *context_of(struct secure *s, unsigned worker, size_t identity);

static int sni_cb(SSL *ssl, int *alert, void *arg)
{
	struct conn *c = SSL_get_app_data(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct secure *s = conn_secure(c);
	size_t identity = name ? secure_choose(s, name) : 0;
	SSL_CTX *ctx;

	(void)arg;
	if (identity == 0)
		return name ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
	ctx = context_of(s, c->worker->id, identity);
	if (ctx)
		secrets_watch(ctx, c);
	if (!ctx || !SSL_set_SSL_CTX(ssl, ctx)) {
		*alert = SSL_AD_INTERNAL_ERROR;
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	return SSL_TLSEXT_ERR_OK;
}

static int alpn_cb(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len,
		   void *arg)
{
	const char *ours = conn_alpn_offer(SSL_get_app_data(ssl));

	(void)arg;
	if (!ours || SSL_select_next_proto((unsigned char **)out, out_len, (const unsigned char *)ours,
					   (unsigned)strlen(ours), in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

static int session_cb(SSL *ssl, SSL_SESSION *session)
{
	return tls_session_kept(SSL_get_app_data(ssl), session);
}

static void server_context(struct secure *s, SSL_CTX *ctx)
{
	unsigned char scope[SSL_MAX_SID_CTX_LENGTH];

	/* A ticket of another service, or from before an edit of certificates or profile, opens nothing here. */
	memcpy(scope, s->digest, sizeof(scope));
	must(SSL_CTX_set_session_id_context(ctx, scope, sizeof(scope)) == 1);
	SSL_CTX_set_tlsext_servername_callback(ctx, sni_cb);
	SSL_CTX_set_alpn_select_cb(ctx, alpn_cb, NULL);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key_cb);
}

static void client_context(struct secure *s, SSL_CTX *ctx)
{
	if (s->settings.no_resumption)
		return;
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, session_cb);
}

/* The identity, and for each other type of key the first that has a name in common with it. */
static size_t pair(const struct secure *s, size_t identity, struct tls_identity *out, size_t max)
{
	int keys[4] = { s->names[identity].key };
	size_t n = 1;

	out[0] = s->settings.identities[identity];
	for (size_t i = 0; i < s->settings.n_identities && n < max; i++) {
		bool known = false;

		for (size_t k = 0; k < n; k++)
			known |= keys[k] == s->names[i].key;
		if (known || !share_a_name(&s->names[identity], &s->names[i]))
			continue;
		keys[n] = s->names[i].key;
		out[n++] = s->settings.identities[i];
	}
	return n;
}

static SSL_CTX *context_of(struct secure *s, unsigned worker, size_t identity)
{
	SSL_CTX **at = &s->contexts[(size_t)worker * (s->settings.n_identities + 1) + identity];
	struct tls_settings t = s->settings;
	struct tls_identity ids[4];
	struct err e = { 0 };

	if (*at)
		return *at;
	t.identities = ids;
	t.n_identities = t.n_identities ? pair(s, identity, ids, ARRAY_SIZE(ids)) : 0;
	if (tls_context_new(&t, at, &e) < 0) {
		log_error("tls_unusable scope=%s reason=\"%s\"", s->scope, err_line(&e));
		return NULL;
	}
	if (t.server)
		server_context(s, *at);
	else
		client_context(s, *at);
	return *at;
}

SSL_CTX *secure_context(struct secure *s, unsigned worker)
{
	must(worker < s->n_workers);
	return s->broken ? NULL : context_of(s, worker, 0);
}

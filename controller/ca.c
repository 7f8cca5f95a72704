#include "controller/ca.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/base.h"
#include "base/buf.h"
#include "controller/pem.h"

enum { DAY = 24 * 3600, CA_DAYS = 7300, ENGINE_DAYS = 3650, SERVER_DAYS = 397, RENEW_DAYS = 30 };

struct ca {
	EVP_PKEY *key;
	X509 *cert;
	char fingerprint[CA_FINGERPRINT_LEN + 1];
	char *pem, *server_pem, *server_key_pem;
};

#define CLEANUP_KEY __attribute__((cleanup(cleanup_key)))
#define CLEANUP_X509 __attribute__((cleanup(cleanup_x509)))

static void cleanup_key(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static void cleanup_x509(X509 **x)
{
	X509_free(*x);
}

/* ---- files of PEM ------------------------------------------------------- */

static char *path_in(const char *dir, const char *file)
{
	return xasprintf("%s/%s", dir, file);
}

/* 0 with *OUT NULL when there is no such file. */
static int read_pem(const char *dir, const char *file, char **out, struct err *e)
{
	CLEANUP_FREE char *path = path_in(dir, file);
	size_t len;
	int rc = file_read(path, 64 * 1024, out, &len);

	if (rc == -ENOENT) {
		*out = NULL;
		return 0;
	}
	return rc < 0 ? err_set(e, rc, NULL, "Cannot read %s: %s.", path, strerror(-rc)) : 0;
}

static int write_pem(const char *dir, const char *file, const char *text, unsigned mode,
		     struct err *e)
{
	CLEANUP_FREE char *path = path_in(dir, file);
	int rc = file_replace(path, text, strlen(text), mode);

	return rc < 0 ? err_set(e, rc, NULL, "Cannot write %s: %s.", path, strerror(-rc)) : 0;
}

/* ---- certificates --------------------------------------------------------- */

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	must(ext);
	must(X509_add_ext(x, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

/* A certificate for KEY without extensions and signature. */
static X509 *cert_new(EVP_PKEY *key, const char *cn, X509 *issuer, long days)
{
	X509 *x = X509_new();
	unsigned char serial[16];
	BIGNUM *bn;
	X509_NAME *name;

	must(x);
	random_bytes(serial, sizeof(serial));
	serial[0] &= 0x7f; /* RFC 5280: positive */
	bn = BN_bin2bn(serial, sizeof(serial), NULL);
	must(bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)));
	BN_free(bn);
	must(X509_set_version(x, X509_VERSION_3) == 1);
	/* An hour back, for engines whose clock is behind. */
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), days * DAY);
	name = X509_NAME_new();
	must(name);
	must(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Spanwire",
					-1, -1, 0));
	must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1,
					-1, 0));
	must(X509_set_subject_name(x, name) == 1);
	must(X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : name) == 1);
	X509_NAME_free(name);
	must(X509_set_pubkey(x, key) == 1);
	return x;
}

static void fingerprint(struct ca *ca)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n;

	must(X509_digest(ca->cert, EVP_sha256(), md, &n) == 1 && n * 2 == CA_FINGERPRINT_LEN);
	hex_encode(ca->fingerprint, md, n);
}

/* "Spanwire CA 1a2b3c4d": the same key has the same name, so what it signed stays good under a certificate made anew. */
static char *ca_name(EVP_PKEY *key)
{
	unsigned char *der = NULL, md[EVP_MAX_MD_SIZE];
	int len = i2d_PUBKEY(key, &der);
	char id[9];

	must(len > 0 && EVP_Digest(der, (size_t)len, md, NULL, EVP_sha256(), NULL) == 1);
	OPENSSL_free(der);
	hex_encode(id, md, 4);
	return xasprintf("Spanwire CA %s", id);
}

/* There is no certificate. A key that is there all the same is kept: all engines hang on it. */
static int ca_make(struct ca *ca, const char *dir, struct err *e)
{
	CLEANUP_FREE char *key_pem = NULL, *cn = NULL;
	int rc = read_pem(dir, "ca.key", &key_pem, e);

	if (rc < 0)
		return rc;
	ca->key = key_pem ? pem_read_key(key_pem, NULL) : EVP_EC_gen("P-256");
	if (!ca->key)
		return err_set(e, -EINVAL, NULL, "%s/ca.key is damaged, and ca.pem is missing.", dir);
	if (!key_pem)
		key_pem = pem_key(ca->key);
	cn = ca_name(ca->key);
	ca->cert = cert_new(ca->key, cn, NULL, CA_DAYS);
	add_extension(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	add_extension(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	add_extension(ca->cert, ca->cert, NID_subject_key_identifier, "hash");
	must(X509_sign(ca->cert, ca->key, EVP_sha256()) > 0);
	ca->pem = pem_cert(ca->cert);
	/* The certificate last: it is what says "there is a CA". */
	rc = write_pem(dir, "ca.key", key_pem, 0600, e);
	return rc < 0 ? rc : write_pem(dir, "ca.pem", ca->pem, 0644, e);
}

static int ca_load(struct ca *ca, const char *dir, struct err *e)
{
	CLEANUP_FREE char *key_pem = NULL;
	int rc = read_pem(dir, "ca.pem", &ca->pem, e);

	if (rc < 0)
		return rc;
	if (!ca->pem)
		return ca_make(ca, dir, e);
	rc = read_pem(dir, "ca.key", &key_pem, e);
	if (rc < 0)
		return rc;
	ca->cert = pem_read_cert(ca->pem);
	ca->key = key_pem ? pem_read_key(key_pem, NULL) : NULL;
	if (!ca->cert || !ca->key || X509_check_private_key(ca->cert, ca->key) != 1)
		return err_set(e, -EINVAL, NULL,
			       "%s/ca.pem and ca.key are damaged or do not belong together.", dir);
	return 0;
}

/* ---- the server certificate ------------------------------------------------- */

static void san_add(struct buf *b, const char *name)
{
	unsigned char addr[16];
	bool ip = inet_pton(AF_INET, name, addr) == 1 || inet_pton(AF_INET6, name, addr) == 1;
	CLEANUP_FREE char *item = xasprintf("%s:%s", ip ? "IP" : "DNS", name);
	size_t n = strlen(item);

	/* No name twice; `hostname` may be "localhost". */
	for (const char *p = b->len ? buf_cstr(b) : ""; (p = strstr(p, item)); p += n)
		if (p[n] == ',' || p[n] == '\0')
			return;
	buf_printf(b, "%s%s", b->len ? "," : "", item);
}

/* Everything by which this host may be called, as OpenSSL's subjectAltName text. */
static char *san_text(const char *extra)
{
	struct buf b = BUF_INIT;
	struct ifaddrs *all, *i;
	char host[256], text[INET6_ADDRSTRLEN];
	char *out;

	san_add(&b, "localhost");
	if (gethostname(host, sizeof(host)) == 0 && host[0] &&
	    strspn(host, "abcdefghijklmnopqrstuvwxyz"
			 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == strlen(host))
		san_add(&b, host);
	san_add(&b, "127.0.0.1");
	san_add(&b, "::1");
	if (getifaddrs(&all) == 0) {
		for (i = all; i; i = i->ifa_next) {
			const void *addr = NULL;

			if (!i->ifa_addr)
				continue;
			if (i->ifa_addr->sa_family == AF_INET)
				addr = &((const struct sockaddr_in *)(const void *)i->ifa_addr)
						->sin_addr;
			else if (i->ifa_addr->sa_family == AF_INET6)
				addr = &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)
						->sin6_addr;
			if (addr && inet_ntop(i->ifa_addr->sa_family, addr, text, sizeof(text)))
				san_add(&b, text);
		}
		freeifaddrs(all);
	}
	if (extra && *extra && strcmp(extra, "0.0.0.0") != 0 && strcmp(extra, "::") != 0)
		san_add(&b, extra);
	out = xstrdup(buf_cstr(&b));
	buf_fini(&b);
	return out;
}

/* Does X still say what a new certificate would say? */
static bool server_cert_fits(const struct ca *ca, X509 *x, EVP_PKEY *key, const char *san)
{
	GENERAL_NAMES *have, *want;
	X509_EXTENSION *ext;
	bool fits;

	if (X509_check_private_key(x, key) != 1 || X509_verify(x, ca->key) != 1)
		return false;
	time_t soon = time(NULL) + (time_t)RENEW_DAYS * DAY;

	/* Of the future: it was made by a clock that was wrong. */
	if (X509_cmp_time(X509_get0_notAfter(x), &soon) < 0 || X509_cmp_time(X509_get0_notBefore(x), NULL) > 0)
		return false;
	have = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
	want = ext ? X509V3_EXT_d2i(ext) : NULL;
	fits = have && want;
	for (int i = 0; fits && i < sk_GENERAL_NAME_num(want); i++) {
		bool found = false;

		for (int j = 0; !found && j < sk_GENERAL_NAME_num(have); j++)
			found = GENERAL_NAME_cmp(sk_GENERAL_NAME_value(want, i),
						 sk_GENERAL_NAME_value(have, j)) == 0;
		fits = found;
	}
	GENERAL_NAMES_free(have);
	GENERAL_NAMES_free(want);
	X509_EXTENSION_free(ext);
	return fits;
}

static int server_cert(struct ca *ca, const char *dir, const char *extra, struct err *e)
{
	CLEANUP_KEY EVP_PKEY *key = NULL;
	CLEANUP_X509 X509 *x = NULL;
	CLEANUP_FREE char *san = san_text(extra);
	int rc = read_pem(dir, "server.key", &ca->server_key_pem, e);

	if (rc == 0)
		rc = read_pem(dir, "server.pem", &ca->server_pem, e);
	if (rc < 0)
		return rc;
	key = ca->server_key_pem ? pem_read_key(ca->server_key_pem, NULL) : NULL;
	x = ca->server_pem ? pem_read_cert(ca->server_pem) : NULL;
	if (key && x && server_cert_fits(ca, x, key, san))
		return 0;

	free(ca->server_pem);
	ca->server_pem = NULL;
	X509_free(x);
	x = NULL;
	if (!key) {
		free(ca->server_key_pem);
		key = EVP_EC_gen("P-256");
		must(key);
		ca->server_key_pem = pem_key(key);
		rc = write_pem(dir, "server.key", ca->server_key_pem, 0600, e);
		if (rc < 0)
			return rc;
	}
	x = cert_new(key, "spanwire-controller", ca->cert, SERVER_DAYS);
	add_extension(x, ca->cert, NID_basic_constraints, "critical,CA:FALSE");
	add_extension(x, ca->cert, NID_key_usage, "critical,digitalSignature");
	add_extension(x, ca->cert, NID_ext_key_usage, "serverAuth");
	add_extension(x, ca->cert, NID_subject_key_identifier, "hash");
	add_extension(x, ca->cert, NID_authority_key_identifier, "keyid");
	add_extension(x, ca->cert, NID_subject_alt_name, san);
	must(X509_sign(x, ca->key, EVP_sha256()) > 0);
	ca->server_pem = pem_cert(x);
	return write_pem(dir, "server.pem", ca->server_pem, 0644, e);
}

/* ---- public --------------------------------------------------------------- */

int ca_open(const char *dir, const char *extra, struct ca **out, struct err *e)
{
	struct ca *ca = xcalloc(1, sizeof(*ca));
	int rc = ca_load(ca, dir, e);

	*out = NULL;
	if (rc == 0)
		rc = server_cert(ca, dir, extra, e);
	if (rc < 0) {
		ca_close(ca);
		return rc;
	}
	fingerprint(ca);
	*out = ca;
	return 0;
}

void ca_close(struct ca *ca)
{
	if (!ca)
		return;
	EVP_PKEY_free(ca->key);
	X509_free(ca->cert);
	free(ca->pem);
	free(ca->server_pem);
	if (ca->server_key_pem)
		explicit_bzero(ca->server_key_pem, strlen(ca->server_key_pem));
	free(ca->server_key_pem);
	free(ca);
}

const char *ca_fingerprint(const struct ca *ca)
{
	return ca->fingerprint;
}

const char *ca_pem(const struct ca *ca)
{
	return ca->pem;
}

const char *ca_server_pem(const struct ca *ca)
{
	return ca->server_pem;
}

const char *ca_server_key_pem(const struct ca *ca)
{
	return ca->server_key_pem;
}

int ca_sign_csr(struct ca *ca, const char *csr_pem, const char *cn, char **cert_pem, struct err *e)
{
	CLEANUP_KEY EVP_PKEY *key = NULL;
	CLEANUP_X509 X509 *x = NULL;
	BIO *b = BIO_new_mem_buf(csr_pem, -1);
	X509_REQ *csr = PEM_read_bio_X509_REQ(b, NULL, NULL, NULL);

	*cert_pem = NULL;
	BIO_free(b);
	if (!csr)
		return err_set(e, -EINVAL, "csr", "Not a certificate signing request in PEM form.");
	key = X509_REQ_get_pubkey(csr);
	if (!key || X509_REQ_verify(csr, key) != 1) {
		X509_REQ_free(csr);
		return err_set(e, -EINVAL, "csr", "The signature of the request is wrong.");
	}
	X509_REQ_free(csr);
	if (EVP_PKEY_get_security_bits(key) < 112)
		return err_set(e, -EINVAL, "csr",
			       "The key is too weak: at least 112 bits of security are needed.");
	x = cert_new(key, cn, ca->cert, ENGINE_DAYS);
	add_extension(x, ca->cert, NID_basic_constraints, "critical,CA:FALSE");
	add_extension(x, ca->cert, NID_key_usage, "critical,digitalSignature");
	add_extension(x, ca->cert, NID_ext_key_usage, "clientAuth");
	add_extension(x, ca->cert, NID_authority_key_identifier, "keyid");
	must(X509_sign(x, ca->key, EVP_sha256()) > 0);
	*cert_pem = pem_cert(x);
	return 0;
}

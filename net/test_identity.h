/* test_identity - certificates for tests: what a test wants to be shown or to believe. */
#ifndef SPANWIRE_NET_TEST_IDENTITY_H
#define SPANWIRE_NET_TEST_IDENTITY_H

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/base.h"

struct identity {
	char *key, *cert; /* PEM */
};

struct identity_of {
	const char *cn, *san, *usage; /* san: "DNS:a.example,IP:10.0.0.1"; usage NULL: a CA */
	const struct identity *ca;    /* NULL: itself */
	int rsa_bits;                 /* 0: a key on P-256 */
	int from_days, to_days;       /* both 0: valid now */
};

static inline void identity_fini(struct identity *i)
{
	free(i->key);
	free(i->cert);
}

static inline char *identity_text(BIO *bio)
{
	char *text;
	long n = BIO_get_mem_data(bio, &text);
	char *copy = xstrndup(text, (size_t)n);

	BIO_free(bio);
	return copy;
}

static inline void identity_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	must(ext);
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
}

static inline struct identity identity_make(struct identity_of of)
{
	struct identity me = { 0 };
	EVP_PKEY *own = of.rsa_bits ? EVP_RSA_gen((unsigned)of.rsa_bits) : EVP_EC_gen("P-256"), *key = own;
	X509 *x = X509_new(), *issuer = x;
	BIO *bio;

	if (of.ca) {
		bio = BIO_new_mem_buf(of.ca->cert, -1);
		issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		BIO_free(bio);
		bio = BIO_new_mem_buf(of.ca->key, -1);
		key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
		BIO_free(bio);
	}
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1 + random() % 100000);
	X509_gmtime_adj(X509_getm_notBefore(x), of.from_days ? of.from_days * 86400L : -60);
	X509_gmtime_adj(X509_getm_notAfter(x), of.to_days ? of.to_days * 86400L : 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const unsigned char *)of.cn,
				   -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer));
	X509_set_pubkey(x, own);
	if (of.usage)
		identity_extension(x, NID_ext_key_usage, of.usage);
	else
		identity_extension(x, NID_basic_constraints, "critical,CA:TRUE");
	if (of.san)
		identity_extension(x, NID_subject_alt_name, of.san);
	must(X509_sign(x, key, EVP_sha256()) > 0);
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(bio, x);
	me.cert = identity_text(bio);
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PKCS8PrivateKey(bio, own, NULL, NULL, 0, NULL, NULL);
	me.key = identity_text(bio);
	if (of.ca) {
		X509_free(issuer);
		EVP_PKEY_free(key);
	}
	X509_free(x);
	EVP_PKEY_free(own);
	return me;
}

/* CA's list of revoked certificates, PEM: WHO (NULL: nobody), good until DAYS from now. */
static inline char *identity_revokes(const struct identity *ca, const struct identity *who, int days)
{
	BIO *bio = BIO_new_mem_buf(ca->cert, -1), *out = BIO_new(BIO_s_mem());
	X509 *issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL), *x = NULL;
	ASN1_TIME *now = X509_gmtime_adj(NULL, -86400L * 30), *then = X509_gmtime_adj(NULL, days * 86400L);
	X509_CRL *crl = X509_CRL_new();
	EVP_PKEY *key;

	BIO_free(bio);
	bio = BIO_new_mem_buf(ca->key, -1);
	key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer));
	X509_CRL_set1_lastUpdate(crl, now);
	X509_CRL_set1_nextUpdate(crl, then);
	if (who) {
		X509_REVOKED *r = X509_REVOKED_new();

		bio = BIO_new_mem_buf(who->cert, -1);
		x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		BIO_free(bio);
		X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(x));
		X509_REVOKED_set_revocationDate(r, now);
		X509_CRL_add0_revoked(crl, r);
	}
	must(X509_CRL_sign(crl, key, EVP_sha256()) > 0);
	PEM_write_bio_X509_CRL(out, crl);
	X509_CRL_free(crl);
	X509_free(issuer);
	X509_free(x);
	EVP_PKEY_free(key);
	ASN1_TIME_free(now);
	ASN1_TIME_free(then);
	return identity_text(out);
}

#endif

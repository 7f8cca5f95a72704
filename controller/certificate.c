#include "controller/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/base.h"
#include "base/moment.h"
#include "controller/envelope.h"
#include "controller/pem.h"

enum { DAY = 24 * 3600, DAYS_DEFAULT = 365, SKEW = 3600, RSA_MIN = 2048, NAMES_MAX = 100, MEMO = 256 };

#define AUTO_(type, name, release)                            \
	static inline void release_##name(type **p)           \
	{                                                     \
		release(*p);                                  \
	}
AUTO_(X509, x509, X509_free)
AUTO_(EVP_PKEY, key, EVP_PKEY_free)
AUTO_(X509_REQ, req, X509_REQ_free)
AUTO_(X509_NAME, name, X509_NAME_free)
#define AUTO(name) __attribute__((cleanup(release_##name)))

/* ---- what keys may be --------------------------------------------------------- */

static const struct {
	int nid;
	const char *group, *word;
} curves[] = {
	{ NID_X9_62_prime256v1, "P-256", "SSL_KEY_EC_CURVE_SECP256R1" },
	{ NID_secp384r1, "P-384", "SSL_KEY_EC_CURVE_SECP384R1" },
	{ NID_secp521r1, "P-521", "SSL_KEY_EC_CURVE_SECP521R1" },
};

static const struct {
	int bits;
	const char *word;
} sizes[] = {
	{ 1024, "SSL_KEY_1024_BITS" }, { 2048, "SSL_KEY_2048_BITS" },
	{ 3072, "SSL_KEY_3072_BITS" }, { 4096, "SSL_KEY_4096_BITS" },
};

/* As key_params says it; NULL with a sentence when it may not be. */
static json_t *key_describe(EVP_PKEY *k, struct err *e)
{
	int bits = EVP_PKEY_get_bits(k), type = EVP_PKEY_get_base_id(k);
	char group[64] = "";

	if (type == EVP_PKEY_RSA) {
		json_t *rsa = json_object();

		if (bits < RSA_MIN) {
			json_decref(rsa);
			err_set(e, -EINVAL, NULL, "An RSA key of %d bits is too short: it needs %d.", bits, RSA_MIN);
			return NULL;
		}
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
			if (bits == sizes[i].bits)
				json_object_set_new(rsa, "key_size", json_string(sizes[i].word));
		return json_pack("{s:s, s:o}", "algorithm", "SSL_KEY_ALGORITHM_RSA", "rsa_params", rsa);
	}
	if (type == EVP_PKEY_EC && EVP_PKEY_get_group_name(k, group, sizeof(group), NULL) == 1)
		for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
			if (OBJ_txt2nid(group) == curves[i].nid)
				return json_pack("{s:s, s:{s:s}}", "algorithm", "SSL_KEY_ALGORITHM_EC", "ec_params",
						 "curve", curves[i].word);
	err_set(e, -EINVAL, NULL, "Keys are RSA, or on one of the curves P-256, P-384 and P-521.");
	return NULL;
}

static EVP_PKEY *key_make(const json_t *params, struct err *e)
{
	const char *algorithm = json_str(params, "algorithm", "SSL_KEY_ALGORITHM_RSA");
	const char *size = json_str(json_object_get(params, "rsa_params"), "key_size", "SSL_KEY_2048_BITS");
	const char *curve = json_str(json_object_get(params, "ec_params"), "curve", curves[0].word);

	if (strcmp(algorithm, "SSL_KEY_ALGORITHM_EC") == 0) {
		for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
			if (strcmp(curve, curves[i].word) == 0)
				return EVP_EC_gen(curves[i].group);
		err_set(e, -EINVAL, "key_params.ec_params.curve", "\"%.60s\" is not one of the curves.", curve);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		if (strcmp(size, sizes[i].word) == 0 && sizes[i].bits >= RSA_MIN)
			return EVP_RSA_gen((unsigned)sizes[i].bits);
	err_set(e, -EINVAL, "key_params.rsa_params.key_size", "A key has 2048, 3072 or 4096 bits.");
	return NULL;
}

/* ---- reading a certificate ------------------------------------------------------ */

static json_t *text_json(const char *s, size_t n)
{
	json_t *v = json_stringn(s, n);

	return v ? v : json_string("?"); /* not UTF-8 */
}

static json_t *name_json(X509_NAME *name)
{
	static const struct {
		int nid;
		const char *field;
	} parts[] = {
		{ NID_commonName, "common_name" },	   { NID_countryName, "country" },
		{ NID_localityName, "locality" },	   { NID_organizationName, "organization" },
		{ NID_organizationalUnitName, "organization_unit" }, { NID_stateOrProvinceName, "state" },
		{ NID_pkcs9_emailAddress, "email_address" },
	};
	json_t *out = json_object();
	BIO *b = BIO_new(BIO_s_mem());
	char *all;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int at = X509_NAME_get_index_by_NID(name, parts[i].nid, -1);
		unsigned char *utf8 = NULL;
		int n = at < 0 ? -1 : ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));

		if (n >= 0)
			json_object_set_new(out, parts[i].field, text_json((char *)utf8, MIN((size_t)n, 4096u)));
		OPENSSL_free(utf8);
	}
	X509_NAME_print_ex(b, name, 0, (XN_FLAG_RFC2253 & ~(unsigned long)XN_FLAG_SEP_MASK & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) |
					       XN_FLAG_SEP_CPLUS_SPC);
	all = pem_bio(b);
	json_object_set_new(out, "distinguished_name", text_json(all, MIN(strlen(all), 4096u)));
	free(all);
	return out;
}

static json_t *time_json(const ASN1_TIME *t)
{
	char text[MOMENT_MAX];
	struct tm tm;

	return json_string(ASN1_TIME_to_tm(t, &tm) == 1 ? moment_text_tm(&tm, MOMENT_PLAIN, text) : "");
}

static json_t *names_json(X509 *x)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	json_t *out = json_array();

	for (int i = 0; i < sk_GENERAL_NAME_num(all) && i < NAMES_MAX; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
		char ip[INET6_ADDRSTRLEN];

		if (g->type == GEN_DNS) {
			json_array_append_new(out, text_json((const char *)ASN1_STRING_get0_data(g->d.dNSName),
							     (size_t)ASN1_STRING_length(g->d.dNSName)));
		} else if (g->type == GEN_IPADD) {
			int family = ASN1_STRING_length(g->d.iPAddress) == 4 ? AF_INET : AF_INET6;

			if ((family == AF_INET || ASN1_STRING_length(g->d.iPAddress) == 16) &&
			    inet_ntop(family, ASN1_STRING_get0_data(g->d.iPAddress), ip, sizeof(ip)))
				json_array_append_new(out, json_string(ip));
		}
	}
	GENERAL_NAMES_free(all);
	return out;
}

static json_t *fingerprint_json(X509 *x)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	char text[96] = "SHA1 Fingerprint=";
	size_t at = strlen(text);
	unsigned n = 0;

	must(X509_digest(x, EVP_sha1(), md, &n) == 1);
	for (unsigned i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%02X", i ? ":" : "", md[i]);
	return json_string(text);
}

static json_t *serial_json(X509 *x)
{
	BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	char *text = bn ? BN_bn2dec(bn) : NULL;
	json_t *v = json_string(text ? text : "");

	OPENSSL_free(text);
	BN_free(bn);
	return v;
}

static json_t *printed(X509 *x, unsigned long leave_out)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text;
	json_t *v;

	X509_print_ex(b, x, XN_FLAG_RFC2253, leave_out);
	text = pem_bio(b);
	v = text_json(text, MIN(strlen(text), 60000u));
	free(text);
	return v;
}

static bool is_self_signed(X509 *x)
{
	return X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0;
}

static int judge(X509 *x, EVP_PKEY *k, json_t **key_params, struct err *e)
{
	int md = NID_undef;

	*key_params = k ? key_describe(k, e) : NULL;
	if (!k)
		return err_set(e, -EINVAL, NULL, "The certificate holds a key that cannot be read.");
	if (!*key_params)
		return -EINVAL;
	/* A root's own signature proves nothing to anybody. */
	X509_get_signature_info(x, &md, NULL, NULL, NULL);
	if (!is_self_signed(x) && (md == NID_md5 || md == NID_sha1 || md == NID_md2 || md == NID_md4))
		return err_set(e, -EINVAL, NULL,
			       "The certificate is signed with %s, which clients do not believe any more.",
			       md == NID_sha1 ? "SHA-1" : "MD5");
	return 0;
}

static int read_all(const char *pem, json_t **out, struct err *e)
{
	AUTO(x509) X509 *x = pem_read_cert(pem);
	json_t *facts, *params = NULL;
	EVP_PKEY *k;
	BIO *b;
	char *public;
	int rc;

	if (!x)
		return err_set(e, -EINVAL, NULL, "It is no certificate in PEM.");
	k = X509_get0_pubkey(x);
	rc = judge(x, k, &params, e);
	if (rc < 0) {
		json_decref(params);
		ERR_clear_error();
		return rc;
	}
	b = BIO_new(BIO_s_mem());
	PEM_write_bio_PUBKEY(b, k);
	public = pem_bio(b);
	facts = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:s, s:o}", "serial_number", serial_json(x),
			  "subject", name_json(X509_get_subject_name(x)), "issuer",
			  name_json(X509_get_issuer_name(x)), "not_before", time_json(X509_get0_notBefore(x)),
			  "not_after", time_json(X509_get0_notAfter(x)), "key_params", params, "fingerprint",
			  fingerprint_json(x), "self_signed", is_self_signed(x), "signature_algorithm",
			  OBJ_nid2ln(X509_get_signature_nid(x)), "subject_alt_names", names_json(x));
	must(facts);
	json_object_set_new(facts, "version", json_sprintf("%ld", X509_get_version(x)));
	json_object_set_new(facts, "public_key", json_string(public));
	json_object_set_new(facts, "text", printed(x, 0));
	json_object_set_new(facts, "signature",
			    printed(x, ~(unsigned long)X509_FLAG_NO_SIGDUMP & 0xfff));
	free(public);
	ERR_clear_error();
	*out = facts;
	return 0;
}

bool certificate_is_authority(const char *pem)
{
	AUTO(x509) X509 *x = pem_read_cert(pem);
	bool is = x && X509_check_ca(x) == 1;

	ERR_clear_error();
	return is;
}

/* ---- what was done last -------------------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	unsigned next;
	struct {
		char *pem;
		json_t *facts;
	} at[MEMO];
} memo = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* A copy of its own: references are not counted across threads. */
static json_t *memo_find(const char *pem)
{
	json_t *found = NULL;

	pthread_mutex_lock(&memo.lock);
	for (unsigned i = 0; i < MEMO && !found; i++)
		if (memo.at[i].pem && strcmp(memo.at[i].pem, pem) == 0)
			found = json_deep_copy(memo.at[i].facts);
	pthread_mutex_unlock(&memo.lock);
	return found;
}

static void memo_keep(const char *pem, const json_t *facts)
{
	json_t *copy = json_deep_copy(facts);

	pthread_mutex_lock(&memo.lock);
	free(memo.at[memo.next].pem);
	json_decref(memo.at[memo.next].facts);
	memo.at[memo.next].pem = xstrdup(pem);
	memo.at[memo.next].facts = copy;
	memo.next = (memo.next + 1) % MEMO;
	pthread_mutex_unlock(&memo.lock);
}

int certificate_read(const char *pem, json_t **facts, struct err *e)
{
	int rc;

	*facts = memo_find(pem);
	if (*facts)
		return 0;
	rc = read_all(pem, facts, e);
	if (rc == 0)
		memo_keep(pem, *facts);
	return rc;
}

/* ---- questions ------------------------------------------------------------------------- */

int certificate_owns(const char *pem, const char *key, struct err *e)
{
	AUTO(x509) X509 *x = pem_read_cert(pem);
	AUTO(key) EVP_PKEY *k = pem_read_key(key, NULL);
	bool fits = x && k && X509_check_private_key(x, k) == 1;

	ERR_clear_error();
	if (fits)
		return 0;
	return err_set(e, -EINVAL, "key", k ? "The key does not belong to the certificate."
					    : "It is no private key in PEM.");
}

int64_t certificate_days_left(const char *not_after, uint64_t now_us)
{
	struct tm tm = { 0 };
	time_t end;

	if (!strptime(not_after, "%Y-%m-%d %H:%M:%S", &tm))
		return -1;
	end = timegm(&tm);
	if ((uint64_t)end * 1000000 <= now_us)
		return -1;
	return (int64_t)(((uint64_t)end * 1000000 - now_us) / 1000000 / DAY);
}

bool certificate_is_issued_by(const char *pem, const char *issuer_pem)
{
	AUTO(x509) X509 *x = pem_read_cert(pem);
	AUTO(x509) X509 *by = pem_read_cert(issuer_pem);
	bool is = x && by && X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(by)) == 0 &&
		  X509_verify(x, X509_get0_pubkey(by)) == 1;

	ERR_clear_error();
	return is;
}

/* ---- making ------------------------------------------------------------------------------ */

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	must(ext && X509_add_ext(x, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

static void random_serial(X509 *x)
{
	unsigned char serial[16];
	BIGNUM *bn;

	random_bytes(serial, sizeof(serial));
	serial[0] &= 0x7f; /* RFC 5280: positive */
	bn = BN_bin2bn(serial, sizeof(serial), NULL);
	must(bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)));
	BN_free(bn);
}

/* "CN=x, O=y" as it is shown is no way back: a subject is made of its fields. */
static X509_NAME *name_make(const json_t *subject, struct err *e)
{
	static const struct {
		const char *field, *name;
	} parts[] = {
		{ "country", "C" },	      { "state", "ST" },   { "locality", "L" },	     { "organization", "O" },
		{ "organization_unit", "OU" }, { "common_name", "CN" }, { "email_address", "emailAddress" },
	};
	X509_NAME *name = X509_NAME_new();

	must(name);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		const char *v = json_str(subject, parts[i].field, "");

		if (*v && X509_NAME_add_entry_by_txt(name, parts[i].name, MBSTRING_UTF8, (const unsigned char *)v, -1, -1,
						     0) != 1) {
			CLEANUP_FREE char *path = xasprintf("certificate.subject.%s", parts[i].field);

			err_set(e, -EINVAL, path, "\"%.60s\" cannot stand in a certificate.", v);
			ERR_clear_error();
			X509_NAME_free(name);
			return NULL;
		}
	}
	return name;
}

/* The names that were asked for, and the common name where there are none. NULL: none. */
static GENERAL_NAMES *sans_make(const json_t *cert, struct err *e)
{
	json_t *list = json_object_get(cert, "subject_alt_names"), *v;
	const char *cn = json_str(json_object_get(cert, "subject"), "common_name", "");
	GENERAL_NAMES *out = sk_GENERAL_NAME_new_null();
	size_t i;

	if (json_array_size(list) > NAMES_MAX) {
		err_set(e, -EINVAL, "certificate.subject_alt_names", "There are more than %d names.", NAMES_MAX);
		goto bad;
	}
	for (i = 0; i < MAX(json_array_size(list), (size_t)1); i++) {
		const char *s = (v = json_array_get(list, i)) ? json_string_value(v) : cn;
		unsigned char raw[16];
		int ip = s && inet_pton(AF_INET, s, raw) == 1 ? 4 : s && inet_pton(AF_INET6, s, raw) == 1 ? 16 : 0;
		GENERAL_NAME *g;
		ASN1_STRING *text;

		if (!s || strlen(s) > 253 || strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
						       "-._*:") != strlen(s)) {
			if (!v)
				break; /* a common name that is a sentence is no name of a host */
			err_set(e, -EINVAL, "certificate.subject_alt_names", "\"%.60s\" is no name or address.", s ? s : "");
			goto bad;
		}
		if (!*s)
			break;
		g = GENERAL_NAME_new();
		text = ip ? (ASN1_STRING *)ASN1_OCTET_STRING_new() : (ASN1_STRING *)ASN1_IA5STRING_new();
		must(g && text && ASN1_STRING_set(text, ip ? (const void *)raw : (const void *)s, ip ? ip : -1) == 1);
		GENERAL_NAME_set0_value(g, ip ? GEN_IPADD : GEN_DNS, text);
		must(sk_GENERAL_NAME_push(out, g));
	}
	return out;
bad:
	GENERAL_NAMES_free(out);
	return NULL;
}

static char *self_signed_make(EVP_PKEY *key, X509_NAME *name, GENERAL_NAMES *sans, long days)
{
	AUTO(x509) X509 *x = X509_new();

	must(x && X509_set_version(x, X509_VERSION_3) == 1);
	random_serial(x);
	X509_gmtime_adj(X509_getm_notBefore(x), -SKEW);
	X509_gmtime_adj(X509_getm_notAfter(x), days * DAY);
	must(X509_set_subject_name(x, name) == 1 && X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1);
	add_extension(x, x, NID_basic_constraints, "critical,CA:FALSE");
	add_extension(x, x, NID_key_usage, "critical,digitalSignature,keyEncipherment");
	add_extension(x, x, NID_ext_key_usage, "serverAuth,clientAuth");
	if (sk_GENERAL_NAME_num(sans) > 0)
		must(X509_add1_ext_i2d(x, NID_subject_alt_name, sans, 0, 0) == 1);
	must(X509_sign(x, key, EVP_sha256()) > 0);
	return pem_cert(x);
}

static char *request_make(EVP_PKEY *key, X509_NAME *name, GENERAL_NAMES *sans)
{
	AUTO(req) X509_REQ *req = X509_REQ_new();
	BIO *b = BIO_new(BIO_s_mem());

	must(req && b && X509_REQ_set_version(req, 0) == 1 && X509_REQ_set_subject_name(req, name) == 1 &&
	     X509_REQ_set_pubkey(req, key) == 1);
	if (sk_GENERAL_NAME_num(sans) > 0) {
		STACK_OF(X509_EXTENSION) *ext = NULL;

		must(X509V3_add1_i2d(&ext, NID_subject_alt_name, sans, 0, 0) == 1 && X509_REQ_add_extensions(req, ext) == 1);
		sk_X509_EXTENSION_pop_free(ext, X509_EXTENSION_free);
	}
	must(X509_REQ_sign(req, key, EVP_sha256()) > 0 && PEM_write_bio_X509_REQ(b, req) == 1);
	return pem_bio(b);
}

int certificate_renew(const char *pem, const char *key, char **out, struct err *e)
{
	AUTO(x509) X509 *x = pem_read_cert(pem);
	AUTO(key) EVP_PKEY *k = pem_read_key(key, NULL);
	int days = 0, seconds = 0;

	if (!x || !k || !is_self_signed(x))
		return err_set(e, -EINVAL, NULL, "Only a certificate that has signed itself can be renewed here.");
	must(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x), X509_get0_notAfter(x)) == 1);
	random_serial(x);
	X509_gmtime_adj(X509_getm_notBefore(x), -SKEW);
	X509_gmtime_adj(X509_getm_notAfter(x), (long)MAX(days, 1) * DAY);
	must(X509_sign(x, k, EVP_sha256()) > 0);
	*out = pem_cert(x);
	return 0;
}

void certificate_pair_fini(struct certificate_pair *p)
{
	free(p->certificate);
	if (p->key)
		explicit_bzero(p->key, strlen(p->key));
	free(p->key);
}

void certificate_pair_make(struct certificate_pair *out, const char *cn, const char *usage, bool rsa,
			   const struct certificate_pair *by)
{
	AUTO(key) EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	AUTO(x509) X509 *x = X509_new(), *issuer = by ? pem_read_cert(by->certificate) : NULL;
	AUTO(key) EVP_PKEY *issuer_key = by ? pem_read_key(by->key, NULL) : NULL;
	CLEANUP_JSON json_t *subject = json_pack("{s:s, s:s}", "organization", "Spanwire", "common_name", cn);
	AUTO(name) X509_NAME *name = name_make(subject, NULL);
	bool ca = strcmp(usage, "CA") == 0;

	must(key && x && X509_set_version(x, X509_VERSION_3) == 1);
	random_serial(x);
	X509_gmtime_adj(X509_getm_notBefore(x), -SKEW);
	X509_gmtime_adj(X509_getm_notAfter(x), 3650L * DAY);
	must(X509_set_subject_name(x, name) == 1 &&
	     X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : name) == 1 && X509_set_pubkey(x, key) == 1);
	add_extension(x, issuer ? issuer : x, NID_basic_constraints, ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	add_extension(x, issuer ? issuer : x, NID_key_usage,
		      ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature,keyEncipherment");
	if (!ca)
		add_extension(x, issuer ? issuer : x, NID_ext_key_usage, "serverAuth,clientAuth");
	must(X509_sign(x, issuer_key ? issuer_key : key, EVP_sha256()) > 0);
	*out = (struct certificate_pair){ pem_cert(x), pem_key(key) };
}

/* ---- bodies -------------------------------------------------------------------------------- */

static const char masked[] = "<sensitive>";

/* The key that came, opened; NULL with rc 0 when none did. */
static int key_open(json_t *wire, EVP_PKEY **out, struct err *e)
{
	const char *pem = json_str(wire, "key", ""), *phrase = json_str(wire, "key_passphrase", NULL);
	json_t *params;
	char *plain;

	*out = NULL;
	if (!*pem || strcmp(pem, masked) == 0)
		return 0;
	*out = pem_read_key(pem, phrase);
	if (!*out)
		return err_set(e, -EINVAL, "key", strstr(pem, "ENCRYPTED")
				       ? "The pass phrase does not open the key."
				       : "It is no private key in PEM.");
	params = key_describe(*out, e);
	if (!params) {
		err_within(e, "key");
		return -EINVAL;
	}
	json_decref(params);
	plain = pem_key(*out);
	json_object_set_new(wire, "key", json_string(plain));
	OPENSSL_cleanse(plain, strlen(plain));
	free(plain);
	return 0;
}

/* ---- what is there already ------------------------------------------------------------ */

static bool key_fits(EVP_PKEY *k, const json_t *params)
{
	CLEANUP_JSON json_t *have = key_describe(k, NULL);
	const char *algorithm = json_str(params, "algorithm", "SSL_KEY_ALGORITHM_RSA");
	bool ec = strcmp(algorithm, "SSL_KEY_ALGORITHM_EC") == 0;
	const char *group = ec ? "ec_params" : "rsa_params", *word = ec ? "curve" : "key_size";

	return strcmp(json_str(have, "algorithm", ""), algorithm) == 0 &&
	       strcmp(json_str(json_object_get(have, group), word, ""),
		      json_str(json_object_get(params, group), word, ec ? curves[0].word : "SSL_KEY_2048_BITS")) == 0;
}

/* Takes HAVE. */
static bool names_fit(GENERAL_NAMES *have, const GENERAL_NAMES *want)
{
	int n = MAX(sk_GENERAL_NAME_num(have), 0);
	bool same = n == sk_GENERAL_NAME_num(want);

	for (int i = 0; same && i < n; i++)
		same = GENERAL_NAME_cmp(sk_GENERAL_NAME_value(have, i), sk_GENERAL_NAME_value(want, i)) == 0;
	GENERAL_NAMES_free(have);
	return same;
}

static bool request_fits(const char *pem, X509_NAME *name, const GENERAL_NAMES *sans)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	AUTO(req) X509_REQ *req = b ? PEM_read_bio_X509_REQ(b, NULL, NULL, NULL) : NULL;
	STACK_OF(X509_EXTENSION) *ext = req ? X509_REQ_get_extensions(req) : NULL;
	bool fits = req && X509_NAME_cmp(X509_REQ_get_subject_name(req), name) == 0 &&
		    names_fit(X509V3_get_d2i(ext, NID_subject_alt_name, NULL, NULL), sans);

	sk_X509_EXTENSION_pop_free(ext, X509_EXTENSION_free);
	BIO_free(b);
	return fits;
}

/* DAYS: of one that signs itself; 0: of one that others sign, who decide on its life and often on its names. */
static bool certificate_fits(const char *pem, X509_NAME *name, const GENERAL_NAMES *sans, long days)
{
	AUTO(x509) X509 *x = pem_read_cert(pem);
	int life = 0, seconds = 0;

	return x && is_self_signed(x) == (days > 0) && X509_NAME_cmp(X509_get_subject_name(x), name) == 0 &&
	       names_fit(X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL), sans) &&
	       ASN1_TIME_diff(&life, &seconds, X509_get0_notBefore(x), X509_get0_notAfter(x)) == 1 &&
	       (!days || life == days);
}

/*
 * A body that asks for what OLD has: somebody changes another field of it, and writes down the whole. Another key would
 * take the certificate from under its users, or make worthless the request that an authority is just about to sign.
 */
static bool kept(json_t *wire, json_t *cert, EVP_PKEY *given, const json_t *old, X509_NAME *name, const GENERAL_NAMES *sans,
		 long days)
{
	static const char *const texts[] = { "certificate", "certificate_signing_request" };
	const json_t *had = json_object_get(old, "certificate");
	const char *pem = json_str(had, texts[0], ""), *request = json_str(had, texts[1], "");
	AUTO(key) EVP_PKEY *key = pem_read_key(json_str(old, "key", ""), NULL);
	bool fits = key && (given ? EVP_PKEY_eq(given, key) == 1 : key_fits(key, json_object_get(wire, "key_params"))) &&
		    (*request && !days ? request_fits(request, name, sans) : certificate_fits(pem, name, sans, days));

	ERR_clear_error();
	for (size_t i = 0; i < ARRAY_SIZE(texts) && fits; i++)
		if (*json_str(had, texts[i], ""))
			json_object_set_new(cert, texts[i], json_string(json_str(had, texts[i], "")));
	if (fits)
		json_object_set_new(wire, "key", json_string(json_str(old, "key", "")));
	return fits;
}

static int make(json_t *wire, json_t *cert, EVP_PKEY *given, const json_t *old, struct err *e)
{
	bool self_signed = json_bool(cert, "self_signed", false);
	json_int_t days = json_int(cert, "days_until_expire", DAYS_DEFAULT);
	AUTO(name) X509_NAME *name = name_make(json_object_get(cert, "subject"), e);
	AUTO(key) EVP_PKEY *made = NULL;
	GENERAL_NAMES *sans = name ? sans_make(cert, e) : NULL;
	EVP_PKEY *key = given;
	char *text;

	if (!sans)
		return -EINVAL;
	if (days < 1 || days > 3650) {
		GENERAL_NAMES_free(sans);
		return err_set(e, -EINVAL, "certificate.days_until_expire", "%lld is out of range: 1 to 3650.",
			       (long long)days);
	}
	if (old && kept(wire, cert, given, old, name, sans, self_signed ? (long)days : 0)) {
		GENERAL_NAMES_free(sans);
		return 0;
	}
	if (!key)
		key = made = key_make(json_object_get(wire, "key_params"), e);
	if (!key) {
		GENERAL_NAMES_free(sans);
		return -EINVAL;
	}
	text = self_signed ? self_signed_make(key, name, sans, (long)days) : request_make(key, name, sans);
	json_object_set_new(cert, self_signed ? "certificate" : "certificate_signing_request", json_string(text));
	free(text);
	GENERAL_NAMES_free(sans);
	if (made) {
		text = pem_key(made);
		json_object_set_new(wire, "key", json_string(text));
		OPENSSL_cleanse(text, strlen(text));
		free(text);
	}
	return 0;
}

static int opened(json_t *wire, EVP_PKEY **key, struct err *e)
{
	int rc = envelope_open(wire, e);

	return rc < 0 ? rc : key_open(wire, key, e);
}

int certificate_open(json_t *wire, struct err *e)
{
	AUTO(key) EVP_PKEY *key = NULL;

	return opened(wire, &key, e);
}

int certificate_prepare(json_t *wire, const json_t *old, struct err *e)
{
	AUTO(key) EVP_PKEY *key = NULL;
	json_t *cert, *facts = NULL;
	const char *pem;
	int rc = opened(wire, &key, e);

	cert = json_object_get(wire, "certificate");
	if (rc < 0 || !json_is_object(cert))
		return rc;
	pem = json_str(cert, "certificate", "");
	if (*pem) { /* remembered, for who asks next */
		rc = certificate_read(pem, &facts, e);
		json_decref(facts);
		if (rc < 0)
			err_within(e, "certificate.certificate");
		return rc;
	}
	if (*json_str(cert, "certificate_signing_request", "") || !json_is_object(json_object_get(cert, "subject")))
		return 0;
	return make(wire, cert, key, old, e);
}

#include "controller/envelope.h"

#include <errno.h>

#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "base/base.h"
#include "base/buf.h"
#include "controller/pem.h"

enum { ROUNDS_MAX = 10 * 1000 * 1000 }; /* of a pass phrase: seconds */

static bool is_too_many(const ASN1_INTEGER *rounds)
{
	long n = rounds ? ASN1_INTEGER_get(rounds) : 1;

	return n < 0 || n > ROUNDS_MAX;
}

struct bytes {
	unsigned char *data;
	size_t n;
};

static void bytes_fini(struct bytes *b)
{
	if (b->data)
		OPENSSL_cleanse(b->data, b->n);
	free(b->data);
}

#define CLEANUP_BYTES __attribute__((cleanup(bytes_fini)))

static bool is_pem(const char *text)
{
	return strstr(text, "-----BEGIN ");
}

/* There is something to open: a text that is no PEM, and not what we show in the place of a secret. */
static bool is_closed(const char *text)
{
	return *text && !is_pem(text) && strcmp(text, "<sensitive>") != 0;
}

static int base64(const char *text, const char *path, struct bytes *out, struct err *e)
{
	EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	int n = 0, rest = 0;
	bool good;

	out->data = xcalloc(1, strlen(text) + 4);
	EVP_DecodeInit(ctx);
	good = strlen(text) < INT32_MAX &&
	       EVP_DecodeUpdate(ctx, out->data, &n, (const unsigned char *)text, (int)strlen(text)) >= 0 &&
	       EVP_DecodeFinal(ctx, out->data + n, &rest) == 1 && n + rest > 0;
	EVP_ENCODE_CTX_free(ctx);
	out->n = (size_t)MAX(n + rest, 0);
	return good ? 0 : err_set(e, -EINVAL, path, "It is no base64.");
}

/* ---- one of them in base64 ------------------------------------------------------- */

/* Would it take for ever to make a key of the pass phrase? */
static bool is_endless(const X509_ALGOR *how)
{
	const bool two = OBJ_obj2nid(how->algorithm) == NID_pbes2;
	PBE2PARAM *outer = two ? ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), how->parameter) : NULL;
	PBKDF2PARAM *inner = outer && OBJ_obj2nid(outer->keyfunc->algorithm) == NID_id_pbkdf2
				     ? ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), outer->keyfunc->parameter)
				     : NULL;
	PBEPARAM *one = two ? NULL : ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), how->parameter);
	bool endless = is_too_many(inner ? inner->iter : one ? one->iter : NULL);

	PBKDF2PARAM_free(inner);
	PBE2PARAM_free(outer);
	PBEPARAM_free(one);
	return endless;
}

static char *key_of(const struct bytes *der, const char *phrase)
{
	const unsigned char *at = der->data;
	BIO *b = BIO_new_mem_buf(der->data, (int)der->n);
	EVP_PKEY *k = d2i_AutoPrivateKey(NULL, &at, (long)der->n);
	char *text;

	if (!k && phrase) {
		X509_SIG *locked = d2i_PKCS8_bio(b, NULL);
		PKCS8_PRIV_KEY_INFO *open = NULL;
		const X509_ALGOR *how = NULL;

		if (locked)
			X509_SIG_get0(locked, &how, NULL);
		if (how && !is_endless(how))
			open = PKCS8_decrypt(locked, phrase, (int)strlen(phrase));
		k = open ? EVP_PKCS82PKEY(open) : NULL;
		PKCS8_PRIV_KEY_INFO_free(open);
		X509_SIG_free(locked);
	}
	text = k ? pem_key(k) : NULL;
	EVP_PKEY_free(k);
	BIO_free(b);
	return text;
}

static char *certificate_of(const struct bytes *der)
{
	const unsigned char *at = der->data;
	X509 *x = d2i_X509(NULL, &at, (long)der->n);
	char *text = x ? pem_cert(x) : NULL;

	X509_free(x);
	return text;
}

static void put_secret(json_t *o, const char *name, char *text)
{
	json_object_set_new(o, name, json_string(text));
	OPENSSL_cleanse(text, strlen(text));
	free(text);
}

/* The text NAME of O, in base64, becomes PEM. */
static int unwrap(json_t *o, const char *name, const char *path, bool key, const char *phrase, struct err *e)
{
	CLEANUP_BYTES struct bytes raw = { 0 };
	char *text = NULL;
	int rc = base64(json_str(o, name, ""), path, &raw, e);

	if (rc < 0)
		return rc;
	if (!memchr(raw.data, 0, raw.n) && is_pem((const char *)raw.data)) {
		json_t *v = json_stringn((const char *)raw.data, raw.n);

		if (v) {
			json_object_set_new(o, name, v);
			return 0;
		}
	}
	text = key ? key_of(&raw, phrase) : certificate_of(&raw);
	ERR_clear_error();
	if (!text)
		return err_set(e, -EINVAL, path, key ? "It is no private key, or the pass phrase does not open it."
						     : "It is no certificate.");
	put_secret(o, name, text);
	return 0;
}

/* ---- PKCS #12 -------------------------------------------------------------------- */

static bool is_endless_file(PKCS12 *file)
{
	const ASN1_INTEGER *rounds = NULL;

	PKCS12_get0_mac(NULL, NULL, NULL, &rounds, file);
	return is_too_many(rounds);
}

static void fill(json_t *wire, EVP_PKEY *key, X509 *x, STACK_OF(X509) *chain)
{
	json_t *cert = json_object_get(wire, "certificate");
	struct buf b = BUF_INIT;

	if (!json_is_object(cert)) {
		cert = json_object();
		json_object_set_new(wire, "certificate", cert);
	}
	for (int i = 0; i <= MAX(sk_X509_num(chain), 0); i++) { /* -1: there is no list */
		CLEANUP_FREE char *text = pem_cert(i == 0 ? x : sk_X509_value(chain, i - 1));

		buf_printf(&b, "%s", text);
	}
	json_object_set_new(cert, "certificate", json_string(buf_cstr(&b)));
	if (key)
		put_secret(wire, "key", pem_key(key));
	else
		json_object_del(wire, "key");
	buf_fini(&b);
}

static int unpack(json_t *wire, const char *text, const char *path, const char *phrase, struct err *e)
{
	CLEANUP_BYTES struct bytes raw = { 0 };
	const unsigned char *at;
	EVP_PKEY *key = NULL;
	X509 *x = NULL;
	STACK_OF(X509) *chain = NULL;
	PKCS12 *file;
	int rc = base64(text, path, &raw, e);

	if (rc < 0)
		return rc;
	at = raw.data;
	file = d2i_PKCS12(NULL, &at, (long)raw.n);
	if (!file)
		rc = err_set(e, -EINVAL, path, "It is no PKCS #12 file in base64.");
	else if (!PKCS12_mac_present(file)) /* it says whether the pass phrase is right before anything is unlocked */
		rc = err_set(e, -EINVAL, path, "The PKCS #12 file has no MAC.");
	else if (is_endless_file(file))
		rc = err_set(e, -EINVAL, path, "Its pass phrase would take more than %d rounds.", ROUNDS_MAX);
	else if (PKCS12_verify_mac(file, phrase, -1) != 1)
		rc = err_set(e, -EINVAL, "key_passphrase", "The pass phrase does not open the PKCS #12 file.");
	else if (PKCS12_parse(file, phrase, &key, &x, &chain) != 1)
		rc = err_set(e, -EINVAL, path, "It cannot be opened: tools of today do not lock with RC2 or DES any more.");
	else if (!x)
		rc = err_set(e, -EINVAL, path, "The PKCS #12 file holds no certificate with its key.");
	else
		fill(wire, key, x, chain);
	PKCS12_free(file);
	EVP_PKEY_free(key);
	X509_free(x);
	sk_X509_pop_free(chain, X509_free);
	ERR_clear_error();
	return rc;
}

int envelope_open(json_t *wire, struct err *e)
{
	json_t *cert = json_object_get(wire, "certificate");
	const char *key = json_str(wire, "key", ""), *pem = json_str(cert, "certificate", "");
	const char *phrase = json_str(wire, "key_passphrase", "");
	int rc = 0;

	if (strcmp(json_str(wire, "format", ""), "SSL_PKCS12") == 0) {
		if (is_closed(key))
			return unpack(wire, key, "key", phrase, e);
		return is_closed(pem) ? unpack(wire, pem, "certificate.certificate", phrase, e) : 0;
	}
	if (json_bool(wire, "key_base64", false) && is_closed(key))
		rc = unwrap(wire, "key", "key", true, phrase, e);
	if (rc == 0 && json_bool(wire, "certificate_base64", false) && is_closed(pem))
		rc = unwrap(cert, "certificate", "certificate.certificate", false, NULL, e);
	return rc;
}

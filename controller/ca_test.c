#include "base/test.h"

#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "controller/ca.h"

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/sw-ca-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
	static const char *const files[] = { "ca.key", "ca.pem", "server.key", "server.pem" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		CLEANUP_FREE char *path = xasprintf("%s/%s", dir, files[i]);

		remove(path);
	}
	return remove(dir);
}

static X509 *parse(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);

	BIO_free(b);
	assert_non_null(x);
	return x;
}

/* Does LEAF verify for PURPOSE under the CA's certificate? */
static bool verifies(const char *ca_pem_text, X509 *leaf, int purpose)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509 *root = parse(ca_pem_text);
	bool ok;

	X509_STORE_add_cert(store, root);
	X509_STORE_CTX_init(ctx, store, leaf, NULL);
	X509_STORE_CTX_set_purpose(ctx, purpose);
	ok = X509_verify_cert(ctx) == 1;
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(root);
	return ok;
}

static char *csr_for(EVP_PKEY *key, EVP_PKEY *signer)
{
	X509_REQ *r = X509_REQ_new();
	BIO *b = BIO_new(BIO_s_mem());
	char *data, *text;
	long n;

	X509_REQ_set_pubkey(r, key);
	X509_REQ_sign(r, signer, EVP_sha256());
	PEM_write_bio_X509_REQ(b, r);
	n = BIO_get_mem_data(b, &data);
	text = xstrndup(data, (size_t)n);
	BIO_free(b);
	X509_REQ_free(r);
	return text;
}

static void a_ca_is_made_once_and_kept(void **state)
{
	struct ca *ca;
	struct err e = { 0 };
	struct stat st;
	char first[CA_FINGERPRINT_LEN + 1];
	CLEANUP_FREE char *server = NULL, *key_path = xasprintf("%s/ca.key", dir);

	(void)state;
	assert_int_equal(ca_open(dir, "192.0.2.7", &ca, &e), 0);
	memcpy(first, ca_fingerprint(ca), sizeof(first));
	server = xstrdup(ca_server_pem(ca));
	assert_int_equal(strlen(first), CA_FINGERPRINT_LEN);
	assert_int_equal(stat(key_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	ca_close(ca);

	assert_int_equal(ca_open(dir, "192.0.2.7", &ca, &e), 0);
	assert_string_equal(ca_fingerprint(ca), first);
	assert_string_equal(ca_server_pem(ca), server);
	ca_close(ca);
}

static void the_server_certificate_names_this_host(void **state)
{
	struct ca *ca;
	struct err e = { 0 };
	X509 *x;

	(void)state;
	assert_int_equal(ca_open(dir, "192.0.2.8", &ca, &e), 0);
	x = parse(ca_server_pem(ca));
	assert_true(verifies(ca_pem(ca), x, X509_PURPOSE_SSL_SERVER));
	assert_false(verifies(ca_pem(ca), x, X509_PURPOSE_SSL_CLIENT));
	assert_int_equal(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(x, "::1", 0), 1);
	assert_int_equal(X509_check_ip_asc(x, "192.0.2.8", 0), 1);
	assert_int_equal(X509_check_ip_asc(x, "192.0.2.9", 0), 0);
	assert_int_equal(X509_check_host(x, "localhost", 0, 0, NULL), 1);
	X509_free(x);
	ca_close(ca);
}

static void an_engine_gets_a_client_certificate(void **state)
{
	struct ca *ca;
	struct err e = { 0 };
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	CLEANUP_FREE char *csr = csr_for(key, key), *forged = csr_for(key, other), *cert = NULL,
			  *none = NULL;
	char cn[128];
	X509 *x;

	(void)state;
	assert_int_equal(ca_open(dir, NULL, &ca, &e), 0);
	assert_int_equal(ca_sign_csr(ca, csr, "serviceengine-1", &cert, &e), 0);
	x = parse(cert);
	assert_true(verifies(ca_pem(ca), x, X509_PURPOSE_SSL_CLIENT));
	assert_false(verifies(ca_pem(ca), x, X509_PURPOSE_SSL_SERVER));
	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, cn, sizeof(cn));
	assert_string_equal(cn, "serviceengine-1");
	assert_int_equal(X509_check_private_key(x, key), 1);
	X509_free(x);

	assert_int_equal(ca_sign_csr(ca, forged, "serviceengine-1", &none, &e), -EINVAL);
	assert_null(none);
	assert_int_equal(ca_sign_csr(ca, "no PEM", "serviceengine-1", &none, &e), -EINVAL);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	ca_close(ca);
}

/* Engines believe the old certificate, and the controller theirs. */
static void a_lost_certificate_is_made_again_from_its_key(void **state)
{
	struct ca *ca;
	struct err e = { 0 };
	EVP_PKEY *key = EVP_EC_gen("P-256");
	CLEANUP_FREE char *csr = csr_for(key, key), *cert = NULL, *old = NULL;
	static const char *const files[] = { "ca.pem", "server.pem" };
	X509 *x, *server;

	(void)state;
	assert_int_equal(ca_open(dir, NULL, &ca, &e), 0);
	assert_int_equal(ca_sign_csr(ca, csr, "serviceengine-1", &cert, &e), 0);
	old = xstrdup(ca_pem(ca));
	ca_close(ca);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		CLEANUP_FREE char *path = xasprintf("%s/%s", dir, files[i]);

		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(ca_open(dir, NULL, &ca, &e), 0);
	x = parse(cert);
	server = parse(ca_server_pem(ca));
	assert_true(verifies(ca_pem(ca), x, X509_PURPOSE_SSL_CLIENT));
	assert_true(verifies(old, server, X509_PURPOSE_SSL_SERVER));
	X509_free(x);
	X509_free(server);
	EVP_PKEY_free(key);
	ca_close(ca);
}

static void damage_is_told(void **state)
{
	struct ca *ca;
	struct err e = { 0 };
	CLEANUP_FREE char *path = xasprintf("%s/ca.key", dir);

	(void)state;
	assert_int_equal(ca_open(dir, NULL, &ca, &e), 0);
	ca_close(ca);
	assert_int_equal(file_replace(path, "x", 1, 0600), 0);
	assert_int_equal(ca_open(dir, NULL, &ca, &e), -EINVAL);
	assert_non_null(strstr(e.text, "ca.key"));
	assert_null(ca);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_ca_is_made_once_and_kept, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(the_server_certificate_names_this_host, make_dir,
						drop_dir),
		cmocka_unit_test_setup_teardown(an_engine_gets_a_client_certificate, make_dir,
						drop_dir),
		cmocka_unit_test_setup_teardown(a_lost_certificate_is_made_again_from_its_key, make_dir,
						drop_dir),
		cmocka_unit_test_setup_teardown(damage_is_told, make_dir, drop_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

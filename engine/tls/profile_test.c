#include "base/test.h"

#include "engine/tls/profile.h"
#include "model/model.h"
#include "model/structs.h"

static struct arena arena;

/* TEXT has ' for ". */
static const void *loaded(const char *kind, const char *text)
{
	CLEANUP_FREE char *copy = xstrdup(text);
	json_t *v;

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	assert_int_equal(json_read(copy, strlen(copy), &v, NULL), 0);
	const void *s = model_load(kind_find(kind)->msg, v, &arena);
	json_decref(v);
	return s;
}

#define TLS12 "'accepted_versions': [{'type': 'SSL_VERSION_TLS1_2'}]"
#define BOTH  "'accepted_versions': [{'type': 'SSL_VERSION_TLS1_2'}, {'type': 'SSL_VERSION_TLS1_3'}]"

static struct tls_settings ssl(const char *fields)
{
	CLEANUP_FREE char *text = xasprintf("{%s}", fields);
	struct tls_settings t = { 0 };

	tls_profile_ssl(&t, loaded("sslprofile", text), &arena);
	return t;
}

static void each_field_of_a_profile_is_a_setting(void **state)
{
	struct tls_settings t;

	(void)state;
	t = ssl(BOTH);
	assert_false(t.no_tls12 || t.no_tls13 || t.no_resumption || t.no_close_notify || t.prefer_client_ciphers);
	assert_string_equal(t.ciphers, "AES:3DES:RC4");
	assert_int_equal(t.session_s, 86400);
	t = ssl(TLS12);
	assert_true(!t.no_tls12 && t.no_tls13);
	/* Listed beside what is spoken, and passed over. */
	t = ssl("'accepted_versions': [{'type': 'SSL_VERSION_TLS1_1'}, {'type': 'SSL_VERSION_TLS1_3'}]");
	assert_true(t.no_tls12 && !t.no_tls13);
	t = ssl(BOTH ", 'accepted_ciphers': 'A', 'ciphersuites': 'B', 'dhparam': 'C', 'ec_named_curve': 'D',"
		     "'signature_algorithm': 'E', 'ssl_session_timeout': 60");
	assert_string_equal(t.ciphers, "A");
	assert_string_equal(t.ciphersuites, "B");
	assert_string_equal(t.dhparam, "C");
	assert_string_equal(t.groups, "D");
	assert_string_equal(t.sigalgs, "E");
	assert_int_equal(t.session_s, 60);
	assert_true(ssl(BOTH ", 'enable_ssl_session_reuse': false").no_resumption);
	assert_true(ssl(BOTH ", 'send_close_notify': false").no_close_notify);
	assert_true(ssl(BOTH ", 'prefer_client_cipher_ordering': true").prefer_client_ciphers);
	t = ssl(BOTH ", 'accepted_ciphers': 'A', 'cipher_enums': ['TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',"
		     "'TLS_AES_128_GCM_SHA256', 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384']");
	assert_string_equal(t.ciphers, "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384");
	assert_string_equal(t.ciphersuites, "TLS_AES_128_GCM_SHA256");
	/* A list without any cipher of a version: it is not spoken. */
	t = ssl(BOTH ", 'cipher_enums': ['TLS_AES_128_GCM_SHA256']");
	assert_true(t.no_tls12 && !t.no_tls13);
}

static void each_field_of_authorities_is_a_setting(void **state)
{
	struct tls_settings t = { 0 };

	(void)state;
	tls_profile_pki(&t, NULL, &arena);
	assert_false(t.verify);
	tls_profile_pki(&t, loaded("pkiprofile", "{'ca_certs': [{'certificate': 'A'}, {'certificate': 'B'}]}"), &arena);
	assert_true(t.verify && !t.ignore_peer_chain && !t.ignore_errors);
	assert_int_equal(t.n_ca, 2);
	assert_string_equal(t.ca[1], "B");
	assert_false(t.crl_check);
	t = (struct tls_settings){ 0 };
#define LISTS "'crls': [{'body': 'R'}, {'body': 'S'}]"
	tls_profile_pki(&t, loaded("pkiprofile", "{" LISTS "}"), &arena);
	assert_int_equal(t.n_crls, 2);
	assert_string_equal(t.crls[1], "S");
	assert_true(t.crl_check && !t.crl_whole_chain && !t.crl_may_be_expired);
	t = (struct tls_settings){ 0 };
	tls_profile_pki(&t, loaded("pkiprofile", "{'validate_only_leaf_crl': false, 'allow_pki_errors': ['ALLOW_EXPIRED_CRL'], "
				   LISTS "}"), &arena);
	assert_true(t.crl_check && t.crl_whole_chain && t.crl_may_be_expired);
	t = (struct tls_settings){ 0 };
	tls_profile_pki(&t, loaded("pkiprofile", "{'crl_check': false, " LISTS "}"), &arena);
	assert_false(t.crl_check || t.n_crls);
	tls_profile_pki(&t, loaded("pkiprofile", "{'ignore_peer_chain': true, 'allow_pki_errors': ['ALLOW_ALL_ERRORS']}"),
			&arena);
	assert_true(t.verify && t.ignore_peer_chain && t.ignore_errors && !t.crl_may_be_expired);
	t = (struct tls_settings){ 0 };
	tls_profile_pki(&t, loaded("pkiprofile", "{'allow_pki_errors': ['ALLOW_EXPIRED_CRL']}"), &arena);
	assert_true(t.crl_may_be_expired && !t.ignore_errors);
}

static const void *authority(struct tls_source *s, const char *kind, const char *uuid)
{
	(void)s;
	assert_string_equal(kind, "sslkeyandcertificate");
	return strcmp(uuid, "ca-1") == 0 ? loaded(kind, "{'certificate': {'certificate': 'MIDDLE'}}") : NULL;
}

static void a_certificate_comes_with_its_chain(void **state)
{
	struct tls_source source = { authority };
	struct tls_identity id;

	(void)state;
	assert_false(tls_profile_identity(&id, NULL, &source, &arena));
	assert_false(tls_profile_identity(
		&id, loaded("sslkeyandcertificate", "{'certificate': {'certificate_signing_request': 'R'}, 'key': 'K'}"),
		&source, &arena));
	assert_false(tls_profile_identity(
		&id, loaded("sslkeyandcertificate", "{'certificate': {'certificate': 'LEAF'}}"), &source, &arena));
	assert_true(tls_profile_identity(
		&id,
		loaded("sslkeyandcertificate",
		       "{'certificate': {'certificate': 'LEAF'}, 'key': 'K', 'ca_certs': [{'name': 'unknown'},"
		       " {'ca_ref': '/api/sslkeyandcertificate/ca-1'}, {'ca_ref': '/api/sslkeyandcertificate/gone'}]}"),
		&source, &arena));
	assert_string_equal(id.certificate, "LEAF\nMIDDLE\n");
	assert_string_equal(id.key, "K");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_field_of_a_profile_is_a_setting),
		cmocka_unit_test(each_field_of_authorities_is_a_setting),
		cmocka_unit_test(a_certificate_comes_with_its_chain),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	arena_fini(&arena);
	return failed;
}

/*
 * certificate - keys and certificates as clients upload them.
 *
 * The first byte chooses: PEM as it comes, or DER that is wrapped into PEM, so that the parsers behind are
 * reached without guessing base64. What is read as a certificate says so whole, and says the same again.
 */
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "base/base.h"
#include "controller/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *wrapped(const char *label, const uint8_t *der, size_t size)
{
	CLEANUP_FREE char *base64 = xmalloc(size * 2 + 64);

	EVP_EncodeBlock((unsigned char *)base64, der, (int)size);
	for (size_t n = strlen(base64), i = 64; i < n; i += 65, n++) { /* lines of 64 */
		memmove(base64 + i + 1, base64 + i, n - i + 1);
		base64[i] = '\n';
	}
	return xasprintf("-----BEGIN %s-----\n%s\n-----END %s-----\n", label, base64, label);
}

static void check(const char *cert, const char *key)
{
	CLEANUP_JSON json_t *wire = json_pack("{s:s%, s:{s:s%}}", "key", key, strlen(key), "certificate", "certificate",
					      cert, strlen(cert));
	json_t *facts = NULL, *again = NULL;

	if (!wire) /* not UTF-8: no JSON brings it here */
		return;
	certificate_prepare(wire, NULL, NULL);
	/* What is stored may be a stranger's request. */
	again = json_pack("{s:{s:{s:s}}, s:{s:s}}", "certificate", "subject", "common_name", "x", "key_params", "algorithm",
			  "SSL_KEY_ALGORITHM_EC");
	json_object_set_new(json_object_get(wire, "certificate"), "certificate_signing_request", json_stringn(cert, strlen(cert)));
	certificate_prepare(again, wire, NULL);
	json_decref(again);
	again = NULL;
	if (certificate_read(cert, &facts, NULL) < 0)
		return;
	must(certificate_read(cert, &again, NULL) == 0 && json_equal(facts, again));
	must(json_object_get(facts, "subject") && json_object_get(facts, "not_after") &&
	     json_object_get(facts, "key_params") && json_object_get(facts, "fingerprint"));
	certificate_owns(cert, key, NULL);
	certificate_is_issued_by(cert, cert);
	certificate_days_left(json_str(facts, "not_after", ""), 1);
	json_decref(facts);
	json_decref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *text = NULL, *other = NULL;

	if (size < 2 || size > 16384)
		return 0;
	switch (data[0] % 3) {
	case 0:
		text = xstrndup((const char *)data + 1, size - 1);
		check(text, text);
		break;
	case 1:
		text = wrapped("CERTIFICATE", data + 1, size - 1);
		check(text, "");
		break;
	default:
		text = wrapped("CERTIFICATE", data + 1, size - 1);
		other = wrapped("PRIVATE KEY", data + 1, size - 1);
		check(text, other);
	}
	return 0;
}

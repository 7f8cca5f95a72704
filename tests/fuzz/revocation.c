/* Lists of revoked certificates and PKCS #12 files as clients send them. The first byte chooses: PEM, or DER that is wrapped. */
#include "base/base.h"

#include <openssl/evp.h>

#include "controller/envelope.h"
#include "controller/revocation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void list(const char *pem)
{
	struct err e = { 0 };
	json_t *facts = NULL;

	if (revocation_read(pem, &facts, &e) == 0)
		must(*json_str(facts, "last_update", ""));
	else
		must(!facts && e.text[0]);
	json_decref(facts);
}

static void file(const char *base64, const char *format)
{
	static const char *const places[] = { "key", "certificate" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		CLEANUP_JSON json_t *wire =
			i ? json_pack("{s:s, s:b, s:{s:s}}", "format", format, "certificate_base64", 1, "certificate",
				      "certificate", base64)
			  : json_pack("{s:s, s:b, s:s, s:s}", "format", format, "key_base64", 1, "key_passphrase", "sesame",
				      "key", base64);

		if (envelope_open(wire, NULL) == 0 && strcmp(format, "SSL_PKCS12") == 0)
			must(!*base64 || strstr(json_str(json_object_get(wire, "certificate"), "certificate", ""), "BEGIN"));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *text = NULL, *pem = NULL;

	if (size < 2 || size > 16384)
		return 0;
	text = xmalloc(size * 2 + 64);
	EVP_EncodeBlock((unsigned char *)text, data + 1, (int)size - 1);
	switch (data[0] % 4) {
	case 0:
		pem = xstrndup((const char *)data + 1, size - 1);
		list(pem);
		break;
	case 1:
		pem = xasprintf("-----BEGIN X509 CRL-----\n%s\n-----END X509 CRL-----\n", text);
		list(pem);
		break;
	case 2:
		file(text, "SSL_PKCS12");
		break;
	default:
		file(text, "SSL_PEM");
	}
	return 0;
}

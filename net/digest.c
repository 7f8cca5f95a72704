#include "net/digest.h"

#include <openssl/evp.h>

#include "base/base.h"

uint64_t digest_object(const char *kind, const char *uuid, const json_t *object)
{
	CLEANUP_FREE char *text = json_text(object);
	unsigned char md[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint64_t sum = 0;

	must(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	EVP_DigestUpdate(ctx, kind, strlen(kind));
	EVP_DigestUpdate(ctx, "/", 1);
	EVP_DigestUpdate(ctx, uuid, strlen(uuid));
	EVP_DigestUpdate(ctx, "/", 1);
	EVP_DigestUpdate(ctx, text, strlen(text));
	must(EVP_DigestFinal_ex(ctx, md, NULL) == 1);
	EVP_MD_CTX_free(ctx);
	for (int i = 0; i < 8; i++)
		sum = sum << 8 | md[i];
	return sum;
}

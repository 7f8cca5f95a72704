#include "net/seal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include "base/base.h"

enum { KEY = 32, NONCE = 12, TAG = 16 };

static const char prefix[] = "sealed:1:";

struct seal {
	unsigned char key[KEY];
	char *path;
};

/* ---- the key ---------------------------------------------------------- */

static char *credential_path(void)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	struct stat st;
	char *path;

	if (!dir || !*dir)
		return NULL;
	path = xasprintf("%s/spanwire-kek", dir);
	if (stat(path, &st) == 0)
		return path;
	free(path);
	return NULL;
}

static int digit(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

static int key_parse(struct seal *s, const char *text, struct err *e)
{
	size_t n = strcspn(text, "\r\n");
	bool good = n == 2 * KEY && !text[n + strspn(text + n, "\r\n")];

	for (size_t i = 0; good && i < KEY; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		good = high >= 0 && low >= 0;
		s->key[i] = good ? (unsigned char)(high << 4 | low) : 0;
	}
	return good ? 0
		    : err_set(e, -EINVAL, NULL, "%s is no key-encryption key: it must be %d hexadecimal digits.",
			      s->path, 2 * KEY);
}

static int key_make(struct seal *s, struct err *e)
{
	char text[2 * KEY + 2];
	int rc;

	random_bytes(s->key, KEY);
	hex_encode(text, s->key, KEY);
	text[2 * KEY] = '\n';
	text[2 * KEY + 1] = '\0';
	rc = file_replace(s->path, text, 2 * KEY + 1, 0600);
	OPENSSL_cleanse(text, sizeof(text));
	return rc < 0 ? err_set(e, rc, NULL, "Cannot write %s: %s.", s->path, strerror(-rc)) : 0;
}

static int key_load(struct seal *s, bool make, struct err *e)
{
	char *text = NULL;
	struct stat st;
	size_t len;
	int rc;

	if (stat(s->path, &st) == 0 && (st.st_mode & 077))
		return err_set(e, -EPERM, NULL,
			       "The key-encryption key %s is open to others (mode %04o): chmod it to 0600.",
			       s->path, st.st_mode & 07777);
	rc = file_read(s->path, 4096, &text, &len);
	if (rc == -ENOENT && make)
		return key_make(s, e);
	if (rc == -ENOENT)
		return err_set(e, rc, NULL,
			       "The key-encryption key %s is missing, and what was sealed with it cannot be "
			       "read: put it back, or give it as the credential spanwire-kek.",
			       s->path);
	if (rc < 0)
		return err_set(e, rc, NULL, "Cannot read the key-encryption key %s: %s.", s->path,
			       strerror(-rc));
	rc = key_parse(s, text, e);
	OPENSSL_cleanse(text, len);
	free(text);
	return rc;
}

int seal_open(const char *dir, bool make, struct seal **out, struct err *e)
{
	struct seal *s = xcalloc(1, sizeof(*s));
	int rc;

	s->path = credential_path();
	if (s->path) /* systemd's: it has no mode that says anything, and is never made by us */
		make = false;
	else
		s->path = xasprintf("%s/kek", dir);
	rc = key_load(s, make, e);
	if (rc < 0) {
		seal_free(s);
		s = NULL;
	}
	*out = s;
	return rc;
}

struct seal *seal_with(const unsigned char key[static 32])
{
	struct seal *s = xcalloc(1, sizeof(*s));

	memcpy(s->key, key, KEY);
	return s;
}

void seal_free(struct seal *s)
{
	if (!s)
		return;
	OPENSSL_cleanse(s->key, KEY);
	free(s->path);
	free(s);
}

const char *seal_path(const struct seal *s)
{
	return s->path;
}

/* ---- sealing ------------------------------------------------------------ */

bool seal_is(const char *text)
{
	return strncmp(text, prefix, sizeof(prefix) - 1) == 0;
}

char *seal_put(const struct seal *s, const char *bound_to, const char *text)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	size_t len = strlen(text), total = NONCE + len + TAG;
	unsigned char *raw = xmalloc(total);
	size_t head = sizeof(prefix) - 1;
	char *out = xmalloc(head + (total + 2) / 3 * 4 + 1);
	int n;

	random_bytes(raw, NONCE);
	must(ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, s->key, raw) == 1);
	must(EVP_EncryptUpdate(ctx, NULL, &n, (const void *)bound_to, (int)strlen(bound_to)) == 1);
	must(EVP_EncryptUpdate(ctx, raw + NONCE, &n, (const void *)text, (int)len) == 1);
	must(EVP_EncryptFinal_ex(ctx, raw + NONCE + len, &n) == 1);
	must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, raw + NONCE + len) == 1);
	EVP_CIPHER_CTX_free(ctx);
	memcpy(out, prefix, head);
	EVP_EncodeBlock((unsigned char *)out + head, raw, (int)total);
	free(raw);
	return out;
}

/* Bytes of the base64 text at P; -1: it is none. OUT takes 3/4 of N. */
static int decode(const char *p, size_t n, unsigned char *out)
{
	int len = n && n % 4 == 0 ? EVP_DecodeBlock(out, (const void *)p, (int)n) : -1;

	/* The library counts the padding as bytes. */
	for (size_t i = 0; len > 0 && i < 2 && p[n - 1 - i] == '='; i++)
		len--;
	return len;
}

char *seal_take(const struct seal *s, const char *bound_to, const char *sealed)
{
	size_t head = sizeof(prefix) - 1, n = strlen(sealed);
	EVP_CIPHER_CTX *ctx;
	unsigned char *raw;
	char *out = NULL;
	int total, len, m;

	if (!seal_is(sealed))
		return NULL;
	raw = xmalloc((n - head) / 4 * 3 + 1);
	total = decode(sealed + head, n - head, raw);
	len = total - NONCE - TAG;
	if (len < 0) {
		free(raw);
		return NULL;
	}
	out = xmalloc((size_t)len + 1);
	ctx = EVP_CIPHER_CTX_new();
	must(ctx && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, s->key, raw) == 1);
	must(EVP_DecryptUpdate(ctx, NULL, &m, (const void *)bound_to, (int)strlen(bound_to)) == 1);
	must(EVP_DecryptUpdate(ctx, (unsigned char *)out, &m, raw + NONCE, len) == 1);
	must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, raw + NONCE + len) == 1);
	if (EVP_DecryptFinal_ex(ctx, (unsigned char *)out + len, &m) == 1 && !memchr(out, 0, (size_t)len)) {
		out[len] = '\0';
	} else {
		OPENSSL_cleanse(out, (size_t)len);
		free(out);
		out = NULL;
	}
	EVP_CIPHER_CTX_free(ctx);
	free(raw);
	return out;
}

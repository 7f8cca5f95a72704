#include "controller/pem.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/base.h"

char *pem_bio(BIO *b)
{
	char *data, *s;
	long n = BIO_get_mem_data(b, &data);

	s = xstrndup(data, (size_t)n);
	BIO_free(b);
	return s;
}

char *pem_key(EVP_PKEY *k)
{
	BIO *b = BIO_new(BIO_s_secmem());

	must(b && PEM_write_bio_PKCS8PrivateKey(b, k, NULL, NULL, 0, NULL, NULL) == 1);
	return pem_bio(b);
}

char *pem_cert(X509 *x)
{
	BIO *b = BIO_new(BIO_s_mem());

	must(b && PEM_write_bio_X509(b, x) == 1);
	return pem_bio(b);
}

/* Without one of ours OpenSSL would ask at the terminal. */
static int passphrase(char *buf, int size, int writing, void *arg)
{
	const char *given = arg;
	size_t n = given ? strlen(given) : 0;

	(void)writing;
	if (!n || n > (size_t)size)
		return -1;
	memcpy(buf, given, n);
	return (int)n;
}

EVP_PKEY *pem_read_key(const char *pem, const char *phrase)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(b, NULL, passphrase, (void *)phrase);

	BIO_free(b);
	ERR_clear_error();
	return k;
}

X509 *pem_read_cert(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	X509 *x = PEM_read_bio_X509(b, NULL, passphrase, NULL);

	BIO_free(b);
	ERR_clear_error();
	return x;
}

/*
 * pem - certificates and keys as PEM, and back.
 *
 * Texts are the caller's to free, keys and certificates too. What cannot be read is NULL, and leaves
 * nothing in OpenSSL's queue of errors; nobody is ever asked for a pass phrase at a terminal.
 */
#ifndef SPANWIRE_CONTROLLER_PEM_H
#define SPANWIRE_CONTROLLER_PEM_H

#include <openssl/x509.h>

/* What was written to B, which is freed. */
char *pem_bio(BIO *b);
/* PKCS#8, not encrypted; OpenSSL's own copy is cleansed. */
char *pem_key(EVP_PKEY *k);
char *pem_cert(X509 *x);
/* PHRASE NULL: encrypted ones cannot be read. */
EVP_PKEY *pem_read_key(const char *pem, const char *phrase);
/* The first one. */
X509 *pem_read_cert(const char *pem);

#endif

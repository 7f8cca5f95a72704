#include "controller/revocation.h"

#include <errno.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/base.h"
#include "base/moment.h"
#include "controller/pem.h"

/* False: it is no date. */
static bool put_time(json_t *facts, const char *name, const ASN1_TIME *t)
{
	char text[MOMENT_MAX];
	struct tm tm;

	if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	json_object_set_new(facts, name, json_string(moment_text_tm(&tm, MOMENT_PLAIN, text)));
	return true;
}

static void put_issuer(json_t *facts, X509_NAME *name)
{
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	unsigned char *utf8 = NULL;
	int n = at < 0 ? -1 : ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	json_t *text = n >= 0 ? json_stringn((const char *)utf8, (size_t)n) : NULL;
	BIO *b = BIO_new(BIO_s_mem());
	CLEANUP_FREE char *all = NULL;

	OPENSSL_free(utf8);
	if (text)
		json_object_set_new(facts, "common_name", text);
	X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
	all = pem_bio(b);
	text = json_string(all);
	if (text) /* else it is no UTF-8 */
		json_object_set_new(facts, "distinguished_name", text);
}

int revocation_read(const char *pem, json_t **facts, struct err *e)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	X509_CRL *crl = PEM_read_bio_X509_CRL(b, NULL, NULL, NULL), *more = NULL;
	int rc = 0;

	*facts = json_object();
	if (!crl)
		rc = err_set(e, -EINVAL, NULL, "It is no list of revoked certificates in PEM.");
	else if ((more = PEM_read_bio_X509_CRL(b, NULL, NULL, NULL)))
		rc = err_set(e, -EINVAL, NULL, "There is more than one list in it: each has an entry of its own.");
	else if (!put_time(*facts, "last_update", X509_CRL_get0_lastUpdate(crl)) ||
		 (X509_CRL_get0_nextUpdate(crl) && !put_time(*facts, "next_update", X509_CRL_get0_nextUpdate(crl))))
		rc = err_set(e, -EINVAL, NULL, "The list has dates that are none.");
	else
		put_issuer(*facts, X509_CRL_get_issuer(crl));
	X509_CRL_free(crl);
	X509_CRL_free(more);
	BIO_free(b);
	ERR_clear_error();
	if (rc < 0) {
		json_decref(*facts);
		*facts = NULL;
	}
	return rc;
}

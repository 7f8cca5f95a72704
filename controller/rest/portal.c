#include "controller/rest/portal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { CHAIN_MAX = 16, LINGER_S = 300 /* no handshake takes so long */ };

struct shown {
	struct shown *next; /* of those that were shown before */
	uint64_t until_ns;
	gnutls_pcert_st chain[CHAIN_MAX];
	unsigned n;
	gnutls_privkey_t key;
};

static struct shown *own, *now, *before;

static void shown_free(struct shown *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n; i++)
		gnutls_pcert_deinit(&s->chain[i]);
	gnutls_privkey_deinit(s->key);
	free(s);
}

static int refuse(struct err *e, const char *what, int rc)
{
	return err_set(e, -EINVAL, NULL, "The %s cannot be used: %s", what, gnutls_strerror(rc));
}

static struct shown *shown_new(const char *chain, const char *key, struct err *e)
{
	gnutls_datum_t chain_pem = { (unsigned char *)chain, (unsigned)strlen(chain) },
		       key_pem = { (unsigned char *)key, (unsigned)strlen(key) };
	struct shown *s = xcalloc(1, sizeof(*s));
	unsigned n = CHAIN_MAX;
	int rc;

	must(gnutls_privkey_init(&s->key) == 0);
	rc = gnutls_privkey_import_x509_raw(s->key, &key_pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (rc < 0) {
		refuse(e, "key", rc);
		goto failed;
	}
	rc = gnutls_pcert_list_import_x509_raw(s->chain, &n, &chain_pem, GNUTLS_X509_FMT_PEM, 0);
	if (rc < 0) {
		refuse(e, "certificate", rc);
		goto failed;
	}
	s->n = n;
	return s;
failed:
	shown_free(s);
	return NULL;
}

int portal_open(const char *chain, const char *key, struct err *e)
{
	must(!own);
	own = shown_new(chain, key, e);
	__atomic_store_n(&now, own, __ATOMIC_RELEASE);
	return own ? 0 : -EINVAL;
}

int portal_show(const char *chain, const char *key, struct err *e)
{
	struct shown *s = chain ? shown_new(chain, key, e) : own, *was = now, **p;
	uint64_t at_ns = mono_ns();

	if (!s)
		return -EINVAL;
	__atomic_store_n(&now, s, __ATOMIC_RELEASE);
	for (p = &before; *p;) {
		struct shown *old = *p;

		if (old->until_ns > at_ns) {
			p = &old->next;
			continue;
		}
		*p = old->next;
		shown_free(old);
	}
	if (was != own) {
		was->until_ns = at_ns + LINGER_S * NS_PER_S;
		was->next = before;
		before = was;
	}
	return 0;
}

void portal_close(void)
{
	if (now != own)
		shown_free(now);
	while (before) {
		struct shown *next = before->next;

		shown_free(before);
		before = next;
	}
	shown_free(own);
	own = now = NULL;
}

int portal_answer(gnutls_session_t session, const gnutls_datum_t *authorities, int authorities_n, const gnutls_pk_algorithm_t *keys,
		  int keys_n, gnutls_pcert_st **chain, unsigned *chain_n, gnutls_privkey_t *key)
{
	struct shown *s = __atomic_load_n(&now, __ATOMIC_ACQUIRE);

	(void)session;
	(void)authorities;
	(void)authorities_n;
	(void)keys;
	(void)keys_n;
	*chain = s->chain;
	*chain_n = s->n;
	*key = s->key;
	return 0;
}

/*
 * An exported configuration as somebody may hand it in: "PASSPHRASE\nJSON". Whatever opens is walked to its end; whatever is refused
 * says why in one line.
 */
#include "base/base.h"
#include "controller/backup/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int object(void *arg, const struct kind_desc *k, json_t *body, bool system, struct err *e)
{
	(void)k, (void)system, (void)e;
	must(json_is_object(body));
	(*(size_t *)arg)++;
	return 0;
}

static int value(void *arg, const char *space, const char *key, const char *text, struct err *e)
{
	(void)e;
	must(*space && key && text);
	(*(size_t *)arg)++;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *nl = memchr(data, '\n', len);
	CLEANUP_FREE char *passphrase = nl ? xstrndup((const char *)data, (size_t)(nl - data)) : NULL;
	struct archive a;
	struct err e = { 0 };
	size_t n = 0;
	int rc;

	if (!nl)
		return 0;
	archive_test = true;
	rc = archive_open((const char *)nl + 1, len - (size_t)(nl + 1 - data), *passphrase ? passphrase : NULL, &a, &e);
	if (rc == 0) {
		char *file = archive_file(&a, "ca.key");

		rc = archive_objects(&a, object, &n, &e);
		if (rc == 0)
			rc = archive_values(&a, value, &n, &e);
		free(file);
		archive_close(&a);
	}
	must(rc == 0 || (e.code == rc && *e.text && !strchr(e.text, '\n')));
	return 0;
}

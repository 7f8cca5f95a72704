#include "engine/link/identity.h"

#include <ctype.h>
#include <errno.h>

#include "base/base.h"
#include "base/json.h"

#define FORMAT 1

void identity_fini(struct identity *i)
{
	free(i->key);
	free(i->certificate);
	free(i->ca);
	*i = (struct identity){ 0 };
}

int identity_load(struct identity *i, const char *path, const char *name, struct err *e)
{
	CLEANUP_FREE char *text = NULL;
	CLEANUP_JSON json_t *file = NULL;
	size_t len;
	int rc = file_read(path, 1u << 20, &text, &len);

	if (rc < 0)
		return err_set(e, rc, NULL, "%s: %s", path, strerror(-rc));
	rc = json_read(text, len, &file, e);
	if (rc < 0)
		return err_set(e, rc, NULL, "%s is damaged", path);
	if (json_int(file, "format", 0) != FORMAT)
		return err_set(e, -EINVAL, NULL, "%s has format %lld, and this program knows %d",
			       path, (long long)json_int(file, "format", 0), FORMAT);
	if (strcmp(json_str(file, "name", ""), name) != 0)
		return err_set(e, -EINVAL, NULL, "%s belongs to the engine \"%s\", not to \"%s\"",
			       path, json_str(file, "name", ""), name);
	snprintf(i->uuid, sizeof(i->uuid), "%s", json_str(file, "uuid", ""));
	i->key = xstrdup(json_str(file, "key", ""));
	i->certificate = xstrdup(json_str(file, "certificate", ""));
	i->ca = xstrdup(json_str(file, "ca", ""));
	return 0;
}

int identity_save(const struct identity *i, const char *path, const char *name, struct err *e)
{
	CLEANUP_JSON json_t *file = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "format", FORMAT,
					      "name", name, "uuid", i->uuid, "key", i->key,
					      "certificate", i->certificate, "ca", i->ca);
	CLEANUP_FREE char *text = json_text(file);
	int rc = file_replace(path, text, strlen(text), 0600);

	return rc < 0 ? err_set(e, rc, NULL, "%s: %s", path, strerror(-rc)) : 0;
}

int token_load(const char *path, char token[static 160], char fingerprint[static TLS_FINGERPRINT],
	       struct err *e)
{
	CLEANUP_FREE char *text = NULL;
	const char *begin, *fp;
	size_t len;
	int rc = file_read(path, 4096, &text, &len);

	if (rc < 0)
		return err_set(e, rc, NULL, "the token file %s: %s", path, strerror(-rc));
	begin = text + strspn(text, " \t\r\n");
	len = strcspn(begin, " \t\r\n");
	fp = memrchr(begin, '.', len);
	if (len >= 160 || strncmp(begin, "swt1.", 5) != 0 || !fp ||
	    (size_t)(begin + len - fp) != TLS_FINGERPRINT ||
	    begin[len + strspn(begin + len, " \t\r\n")])
		return err_set(e, -EINVAL, NULL,
			       "the token file %s does not hold an enrolment token", path);
	memcpy(token, begin, len);
	token[len] = '\0';
	for (int n = 0; n < TLS_FINGERPRINT - 1; n++)
		fingerprint[n] = (char)tolower((unsigned char)fp[1 + n]);
	fingerprint[TLS_FINGERPRINT - 1] = '\0';
	return 0;
}

#include "shell/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/settings.h"
#include "shell/token.h"
#include "shell/text.h"

#define FILE_MAX_BYTES 65536

static const struct setting {
	const char *name, *environment;
	size_t offset;
} settings[] = {
	{ "controller", "SPANWIRE_CONTROLLER", offsetof(struct credentials, controller) },
	{ "user", "SPANWIRE_USER", offsetof(struct credentials, user) },
	{ "password_file", "SPANWIRE_PASSWORD_FILE", offsetof(struct credentials, password_file) },
	{ "password", "SPANWIRE_PASSWORD", offsetof(struct credentials, password) },
	{ "tenant", "SPANWIRE_TENANT", offsetof(struct credentials, tenant) },
	{ "ca", "SPANWIRE_CA", offsetof(struct credentials, ca) },
};

static char **member(struct credentials *c, const struct setting *s)
{
	return (char **)((char *)c + s->offset);
}

void credentials_fini(struct credentials *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		free(*member(c, &settings[i]));
	free(c->token);
	*c = (struct credentials){ 0 };
}

char *credentials_question(const struct credentials *c)
{
	return text_harmless(xasprintf("Password of %s at %s: ", c->user, c->controller));
}

char *credentials_path(void)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (config && *config)
		return xasprintf("%s/spanwire/credentials", config);
	if (home && *home)
		return xasprintf("%s/.config/spanwire/credentials", home);
	return NULL;
}

char *credentials_beside(const char *name)
{
	CLEANUP_FREE char *path = credentials_path();

	if (!path)
		return NULL;
	*strrchr(path, '/') = '\0';
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		mkdir(path, 0700);
		*p = '/';
	}
	mkdir(path, 0700);
	return xasprintf("%s/%s", path, name);
}

void credentials_from_environment(struct credentials *c)
{
	bool has_password = c->password || c->password_file;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		char **at = member(c, &settings[i]);
		const char *value = getenv(settings[i].environment);

		if (value && *value && !*at &&
		    !(has_password && (at == &c->password || at == &c->password_file)))
			*at = xstrdup(value);
	}
}

struct reading {
	struct credentials *c;
	bool has_password;
};

static int take(void *arg, const char *name, const char *value, struct err *e)
{
	struct reading *r = arg;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		char **at = member(r->c, &settings[i]);

		if (strcmp(settings[i].name, name))
			continue;
		if (*value && !*at &&
		    !(r->has_password && (at == &r->c->password || at == &r->c->password_file)))
			*at = xstrdup(value);
		return 0;
	}
	return err_set(e, -EINVAL, NULL, "there is no setting '%.40s'.", name);
}

int credentials_read_private(const char *path, char **text, struct err *e)
{
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t len = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, -errno, NULL, "Cannot read %s: %s.", path, strerror(errno));
	if (st.st_mode & 077)
		return err_set(e, -EPERM, NULL,
			       "%s is open to others (mode %04o): chmod it to 0600.", path,
			       st.st_mode & 07777);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(e, -EPERM, NULL, "%s belongs to somebody else (user %u).", path,
			       st.st_uid);
	*text = xmalloc(FILE_MAX_BYTES + 1);
	for (;;) {
		ssize_t n = read(fd, *text + len, FILE_MAX_BYTES - len);

		if (n < 0)
			return err_set(e, -errno, NULL, "Cannot read %s: %s.", path,
				       strerror(errno));
		len += (size_t)n;
		if (len == FILE_MAX_BYTES)
			return err_set(e, -EFBIG, NULL, "%s is too large.", path);
		if (n == 0)
			break;
	}
	(*text)[len] = '\0';
	return 0;
}

int credentials_from_file(struct credentials *c, const char *path, struct err *e)
{
	struct reading r = { c, c->password || c->password_file };
	CLEANUP_FREE char *text = NULL;
	int rc = credentials_read_private(path, &text, e);

	if (rc)
		return rc == -ENOENT || rc == -ENOTDIR ? 0 : rc;
	return settings_read(text, path, take, &r, e);
}

static int read_password(struct credentials *c, struct err *e)
{
	int rc;

	if (c->password)
		return 0;
	if (!c->password_file && c->token)
		return 0;
	if (!c->password_file)
		return err_set(
			e, -ENOKEY, NULL,
			"No password: set SPANWIRE_PASSWORD_FILE, or write one to the credentials file.");
	rc = file_read(c->password_file, FILE_MAX_BYTES, &c->password, NULL);
	if (rc)
		return err_set(e, rc, NULL, "Cannot read the password file %s: %s.",
			       c->password_file, strerror(-rc));
	c->password[strcspn(c->password, "\r\n")] = '\0';
	return 0;
}

int credentials_complete(struct credentials *c, struct err *e)
{
	CLEANUP_FREE char *path = credentials_path();
	size_t len;
	int rc;

	credentials_from_environment(c);
	rc = path ? credentials_from_file(c, path, e) : 0;
	if (rc)
		return rc;
	if (!c->controller)
		return err_set(e, -EINVAL, NULL,
			       "Which controller? Set SPANWIRE_CONTROLLER to its address, "
			       "as https://192.0.2.1:9443, or write it to %s.",
			       path ? path : "a credentials file");
	if (!strstr(c->controller, "://")) {
		char *with_scheme = xasprintf("https://%s", c->controller);

		free(c->controller);
		c->controller = with_scheme;
	}
	if (strncmp(c->controller, "https://", 8))
		return err_set(e, -EINVAL, NULL,
			       "The controller's address must begin with https://, not %s.",
			       c->controller);
	len = strlen(c->controller);
	while (c->controller[len - 1] == '/')
		c->controller[--len] = '\0';
	if (!c->password && !c->password_file) {
		rc = token_find(c, e);
		if (rc)
			return rc;
	}
	if (!c->user)
		c->user = xstrdup("admin");
	if (!c->tenant)
		c->tenant = xstrdup("admin");
	return read_password(c, e);
}

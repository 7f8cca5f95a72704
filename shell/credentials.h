/*
 * credentials - which controller, who asks, and what proves it.
 *
 * Taken from the command line, else from the environment (SPANWIRE_CONTROLLER, SPANWIRE_USER,
 * SPANWIRE_PASSWORD_FILE, SPANWIRE_PASSWORD, SPANWIRE_TENANT, SPANWIRE_CA), else from the file
 * ~/.config/spanwire/credentials, which must belong to the caller alone: lines of `name = value`
 * with the same names in lower case, # for comments. A password is never taken from the command
 * line, where other users see it.
 */
#ifndef SPANWIRE_SHELL_CREDENTIALS_H
#define SPANWIRE_SHELL_CREDENTIALS_H

#include <stdbool.h>

#include "base/err.h"

struct credentials {
	char *controller; /* "https://host:port" */
	char *user;
	char *password_file;
	char *password;
	char *token; /* kept by token.h; in place of a password */
	char *tenant;
	char *ca; /* file of certificates to trust; NULL: the system's */
	bool insecure; /* do not check the controller's certificate */
};

void credentials_fini(struct credentials *c);
/* "Password of admin at https://...: ". Caller frees. */
char *credentials_question(const struct credentials *c);
/* Where the file is, by XDG_CONFIG_HOME or HOME. Caller frees; NULL when neither is set. */
char *credentials_path(void);
/* The path of another file beside it, in a folder that is there. Caller frees; NULL as above. */
char *credentials_beside(const char *name);
/*
 * Members that are set already stay. A file that is not there is no error; -EPERM when others may
 * read it.
 */
int credentials_from_file(struct credentials *c, const char *path, struct err *e);
void credentials_from_environment(struct credentials *c);
/* What is in a file that belongs to us alone. -ENOENT; -EPERM. Caller frees. */
int credentials_read_private(const char *path, char **text, struct err *e);
/*
 * All sources in their order, defaults, the password read from its file, and the address checked.
 * -ENOKEY: there is neither a password nor a token; all else is complete.
 */
int credentials_complete(struct credentials *c, struct err *e);

#endif

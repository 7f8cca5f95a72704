#include "controller/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"

static void at_text(struct listen_at *at)
{
	bool v6 = strchr(at->host, ':') != NULL;

	snprintf(at->text, sizeof(at->text), v6 ? "[%s]:%d" : "%s:%d", at->host, at->port);
}

int listen_parse(const char *spec, struct listen_at *at, struct err *e)
{
	const char *colon = strrchr(spec, ':');
	const char *host = spec;
	size_t n = colon ? (size_t)(colon - spec) : 0;
	unsigned char addr[16];
	char *end = NULL;
	long port = colon ? strtol(colon + 1, &end, 10) : -1;

	memset(at, 0, sizeof(*at));
	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	} else if (colon && memchr(spec, ':', n)) {
		return err_set(e, -EINVAL, NULL,
			       "'%s': write an IPv6 address in brackets, [::]:9443.", spec);
	}
	if (!colon || !colon[1] || *end || port < 0 || port > 65535)
		return err_set(e, -EINVAL, NULL, "'%s' is not ADDRESS:PORT.", spec);
	if (n >= sizeof(at->host))
		return err_set(e, -EINVAL, NULL, "The address in '%s' is too long.", spec);
	memcpy(at->host, host, n);
	if (inet_pton(AF_INET, at->host, addr) != 1 && inet_pton(AF_INET6, at->host, addr) != 1)
		return err_set(e, -EINVAL, NULL, "'%s' is not an IP address.", at->host);
	at->port = (int)port;
	at_text(at);
	return 0;
}

int listen_open(const char *spec, struct listen_at *at, struct err *e)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} a = { 0 };
	socklen_t len;
	int one = 1, fd, rc = listen_parse(spec, at, e);

	if (rc < 0)
		return rc;
	if (inet_pton(AF_INET, at->host, &a.in.sin_addr) == 1) {
		a.in.sin_family = AF_INET;
		a.in.sin_port = htons((uint16_t)at->port);
		len = sizeof(a.in);
	} else {
		must(inet_pton(AF_INET6, at->host, &a.in6.sin6_addr) == 1);
		a.in6.sin6_family = AF_INET6;
		a.in6.sin6_port = htons((uint16_t)at->port);
		len = sizeof(a.in6);
	}
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, -errno, NULL, "Cannot make a socket for %s: %s.", at->text,
			       strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, &a.sa, len) < 0 || listen(fd, 512) < 0 || getsockname(fd, &a.sa, &len) < 0) {
		rc = -errno;
		close(fd);
		return err_set(e, rc, NULL, "Cannot listen on %s: %s.", at->text, strerror(-rc));
	}
	at->port = ntohs(a.sa.sa_family == AF_INET ? a.in.sin_port : a.in6.sin6_port);
	at_text(at);
	return fd;
}

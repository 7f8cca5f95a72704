#include "engine/http/choice.h"

#include <string.h>
#include <strings.h>

#include "engine/clone/plain.h"

static struct http1_span host_of(const struct http1_head *h)
{
	if (h->absolute)
		return h->authority;
	for (uint32_t i = 0; i < h->fields_n; i++)
		if (h->fields[i].id == HTTP1_F_HOST)
			return h->fields[i].value;
	return (struct http1_span){ 0 };
}

static bool host_fits(const struct plain_rules *r, const struct http1_head *h, const char *in)
{
	struct http1_span host = host_of(h);
	const char *text = in + host.at, *bracket = memchr(text, ']', host.len), *colon;
	size_t len = host.len;

	colon = bracket ? memchr(bracket, ':', len - (size_t)(bracket - text)) : memchr(text, ':', len);
	if (colon)
		len = (size_t)(colon - text);
	if (len && text[len - 1] == '.')
		len--;
	for (size_t i = 0; i < r->n_hosts; i++)
		if (strlen(r->hosts[i]) == len && strncasecmp(r->hosts[i], text, len) == 0)
			return true;
	return false;
}

static bool path_fits(const struct plain_rules *r, const struct http1_head *h, const char *in)
{
	for (size_t i = 0; i < r->n_paths; i++) {
		size_t len = strlen(r->paths[i]);

		if (len <= h->path.len && memcmp(r->paths[i], in + h->path.at, len) == 0)
			return true;
	}
	return false;
}

bool choice_fits(const struct plain_rules *r, const struct http1_head *h, const char *in)
{
	return (!r->n_hosts || host_fits(r, h, in)) && (!r->n_paths || path_fits(r, h, in));
}

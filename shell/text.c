#include "shell/text.h"

#include <ctype.h>
#include <time.h>

#include "base/base.h"

/* "a%20b" is "a b". In place. */
static char *unescaped(char *s)
{
	char *to = s;

	for (const char *p = s; *p; p++) {
		char two[3] = { 0 };

		if (*p == '%' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2])) {
			two[0] = p[1];
			two[1] = p[2];
			*to++ = (char)strtoul(two, NULL, 16);
			p += 2;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return s;
}

static char *ref_name(const char *s)
{
	static const char query[] = "?name=";
	const char *api = strstr(s, "/api/"), *hash, *name;

	if (!api || (api != s && strncmp(s, "http", 4)))
		return xstrdup(s);
	hash = strchr(api, '#');
	name = strstr(api, query);
	if (!hash && name)
		return unescaped(xstrdup(name + strlen(query)));
	return xstrdup(hash ? hash + 1 : strrchr(api, '/') + 1);
}

/* An IpAddr or an IpAddrPrefix of the contract; NULL: neither. */
static char *address(const json_t *v)
{
	const json_t *inner = json_object_get(v, "ip_addr");
	const json_t *mask = json_object_get(v, "mask");
	const char *addr = json_str(inner ? inner : v, "addr", NULL);

	if (!addr || json_object_size(inner ? inner : v) > 2)
		return NULL;
	if (inner && mask && json_object_size(v) == 2)
		return xasprintf("%s/%lld", addr, (long long)json_integer_value(mask));
	return inner ? NULL : xstrdup(addr);
}

/* A time of the contract, {"secs", "usecs"}, on the clock of who reads it; NULL: it is none. */
static char *moment(const json_t *v)
{
	const json_t *secs = json_object_get(v, "secs"), *usecs = json_object_get(v, "usecs");
	time_t at = (time_t)json_integer_value(secs);
	char text[40];
	struct tm tm;

	if (!json_is_integer(secs) || !json_is_integer(usecs) || json_object_size(v) != 2 ||
	    !localtime_r(&at, &tm))
		return NULL;
	strftime(text, sizeof(text), "%F %T", &tm);
	return xasprintf("%s.%03lld", text, (long long)json_integer_value(usecs) / 1000 % 1000);
}

/* An object that reads as one value; NULL: it does not. */
static char *one_value(const json_t *v)
{
	char *s = address(v);

	return s ? s : moment(v);
}

/* Items with members of their own go by their name, where they have one. */
static char *list(const json_t *v)
{
	struct buf b = BUF_INIT;
	const json_t *item;
	char *s;
	size_t i;

	json_array_foreach((json_t *)v, i, item) {
		const json_t *name = json_object_get(item, "name");
		CLEANUP_FREE char *text = text_of(json_is_string(name) ? name : item);

		buf_printf(&b, "%s%s", i ? ", " : "", text);
	}
	s = xstrdup(b.len ? buf_cstr(&b) : "");
	buf_fini(&b);
	return s;
}

char *text_of(const json_t *v)
{
	char *s;

	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_NULL:
		return xstrdup("");
	case JSON_STRING:
		return ref_name(json_string_value(v));
	case JSON_REAL:
		return xasprintf("%g", json_real_value(v));
	case JSON_ARRAY:
		return list(v);
	case JSON_OBJECT:
		s = one_value(v);
		if (s)
			return s;
		break;
	default:
		break;
	}
	return json_text(v);
}

bool text_is_flat(const json_t *v)
{
	const json_t *item;
	char *s;
	size_t i;

	if (json_is_object(v)) {
		s = one_value(v);
		free(s);
		return s != NULL;
	}
	json_array_foreach((json_t *)v, i, item)
		if (!text_is_flat(item))
			return false;
	return true;
}

/* What turns the direction of a line, or ends it, and is not seen: U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069. */
static bool is_unseen(const unsigned char *p)
{
	return (p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae))) ||
	       (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
}

char *text_harmless(char *s)
{
	for (unsigned char *p = (unsigned char *)s; *p; p++) {
		/* U+0080 to U+009F are control characters as well. */
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
			p[0] = p[1] = '?';
			p++;
		} else if (*p == 0xe2 && is_unseen(p)) {
			/* Three bytes, one mark. */
			*p = '?';
			memmove(p + 1, p + 3, strlen((char *)p + 3) + 1);
		} else if (*p < ' ' || *p == 0x7f) {
			*p = '?';
		}
	}
	return s;
}

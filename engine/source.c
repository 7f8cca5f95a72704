#include "engine/source.h"

#include <errno.h>
#include <netinet/in.h>

#include "base/base.h"

static struct source read_one(const char *text, json_t *numbers)
{
	struct source s = { 0 };

	if (!*text || address_parse(&s.address, text, 0) < 0)
		return s;
	s.number = (uint32_t)json_int(numbers, text, 0);
	if (!s.number) {
		s.number = (uint32_t)json_object_size(numbers) + 1;
		json_object_set_new(numbers, text, json_integer(s.number));
	}
	return s;
}

struct sources sources_read(const json_t *list, json_t *numbers, struct arena *a)
{
	struct vip_sources *at;
	struct sources out = { 0 };
	json_t *one, *vip;
	size_t i, k;

	json_array_foreach(list, i, one)
		out.n += json_array_size(json_object_get(one, "vips"));
	out.at = at = arena_get(a, (out.n + 1) * sizeof(*at));
	out.n = 0;
	json_array_foreach(list, i, one)
		json_array_foreach(json_object_get(one, "vips"), k, vip) {
			struct vip_sources *to = &at[out.n];

			memset(to, 0, sizeof(*to));
			if (address_parse(&to->vip, json_string_value(vip) ? json_string_value(vip) : "", 0) < 0)
				continue;
			to->to[0] = read_one(json_str(one, "v4", ""), numbers);
			to->to[1] = read_one(json_str(one, "v6", ""), numbers);
			out.n++;
		}
	return out;
}

const struct source *source_of(const struct sources *s, const union address *vip, int family)
{
	static const struct source none;

	for (size_t i = 0; i < s->n; i++)
		if (address_same_ip(&s->at[i].vip, vip))
			return &s->at[i].to[family == AF_INET6];
	return &none;
}

bool source_is_used(const struct sources *s, uint32_t number, int family)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->at[i].to[family == AF_INET6].number == number)
			return true;
	return !s->n && !number;
}

int source_bind(const struct source *s, int fd)
{
	const int on = 1;

	if (!s->number)
		return 0;
	if (setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
	    bind(fd, &s->address.sa, address_len(&s->address)) < 0)
		return -errno;
	return 0;
}

/*
 * All tables at once: a table that passes is complete, documented, and survives every conversion.
 * This is also the style checker of model/kinds/.
 */
#include "base/test.h"

#include "model/internal.h"
#include "model/structs.h"
#include "model/test_world.h"

/* ---- the walk over all tables ---------------------------------------- */

/* clang-format off */
/* Kinds of the contract that are referred to and do not exist here. */
static const char *const absent_kinds[] = {
	"alertscriptconfig", "authmappingprofile", "authprofile", "autoscalelaunchconfig",
	"availabilityzone", "botdetectionpolicy", "certificatemanagementprofile",
	"cloudconnectoruser", "csrfpolicy", "dnspolicy", "fileobject", "geodb", "gslbservice",
	"hardwaresecuritymodulegroup", "icapprofile", "ipamdnsproviderprofile", "ipreputationdb",
	"labelgroup", "microservice", "microservicegroup", "poolgroupdeploymentpolicy",
	"securitypolicy", "serverautoscalepolicy", "serviceauthprofile", "ssopolicy",
	"testsedatastorelevel1", "vcenterserver", "vimgrclusterruntime", "vimgrhostruntime",
	"vimgrnwruntime", "vimgrvmruntime", "vsdatascriptset", "wafpolicy",
};
/* clang-format on */

static bool kind_is_known(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(absent_kinds); i++)
		if (strcmp(absent_kinds[i], kind) == 0)
			return !kind_find(kind); /* a kind that came to be leaves the list */
	return kind_find(kind) != NULL;
}

static bool is_sentence(const char *s)
{
	return s[0] && s[strlen(s) - 1] == '.' && !strstr(s, "  ");
}

/* Each word of SOME is one of ALL. */
static bool words_within(const char *some, const char *all)
{
	const char *word;
	size_t len;

	while (word_next(&some, &word, &len)) {
		char text[128];

		snprintf(text, sizeof(text), "%.*s", (int)len, word);
		if (word_index(all, text) < 0)
			return false;
	}
	return true;
}

static void check_default(const struct message_desc *m, const struct field_desc *f)
{
	CLEANUP_JSON json_t *dflt = field_default(f, NULL);
	json_t *out = NULL;
	struct err e = { 0 };

	if (!f->dflt || f->type == FT_REF)
		return;
	if (!dflt)
		fail_msg("%s.%s: the default cannot be made", m->name, f->name);
	if (f->type != FT_STR && f->type != FT_ENUM) {
		CLEANUP_FREE char *text = json_text(dflt);

		if (strtod(text, NULL) != strtod(f->dflt, NULL))
			fail_msg("%s.%s: default %s became %s", m->name, f->name, f->dflt, text);
	}
	if (model_read_field(m, f->name, dflt, 0, &world, &out, NULL, &e) < 0)
		fail_msg("%s.%s: the default: %s", m->name, f->name, e.text);
	json_decref(out);
}

static void check_field(const struct message_desc *m, const struct field_desc *f)
{
	bool member = f->offset != NO_MEMBER;

#define EXPECT(cond)                                                                               \
	do {                                                                                       \
		if (!(cond))                                                                       \
			fail_msg("%s.%s: not %s", m->name, f->name, #cond);                        \
	} while (0)
	EXPECT(f->help && (is_sentence(f->help) || (!*f->help && !member)));
	EXPECT(!f->why || (is_sentence(f->why) && ((f->flags & F_DANGEROUS) || f->built)));
	EXPECT(!(f->inert && member));
	EXPECT(!member || f->offset + (f->list ? sizeof(void *) : f->item_size) <= m->size);
	EXPECT(!f->list || !member || f->count_offset + sizeof(size_t) <= m->size);
	EXPECT(member || f->has_offset == NO_MEMBER);
	EXPECT((f->type == FT_MSG) == (f->msg != NULL));
	EXPECT((f->type == FT_REF) == (f->ref != NULL));
	EXPECT(f->type != FT_REF || kind_is_known(f->ref));
	EXPECT((f->type == FT_ENUM) == (f->values != NULL));
	EXPECT(!f->built || words_within(f->built, f->values));
	EXPECT(!f->dflt || !f->list);
	EXPECT(!f->dflt || f->type != FT_MSG);
	EXPECT(f->type != FT_BOOL || !f->dflt || strcmp(f->dflt, "true") == 0 ||
	       strcmp(f->dflt, "false") == 0);
	EXPECT(f->min <= f->max);
	EXPECT(!f->max || f->type == FT_INT || f->type == FT_FLOAT || f->type == FT_STR);
	EXPECT(!f->max_items || (f->list && f->min_items <= f->max_items));
	EXPECT(!f->min_items || f->list);
	EXPECT(!(f->flags & F_ALWAYS) || (f->type == FT_MSG && !f->list && member));
	EXPECT(!(f->flags & F_PASSED_OVER) || f->built);
	EXPECT(!(f->flags & F_LATER_STORED) || f->built || (f->flags & F_DANGEROUS));
#undef EXPECT
	for (const struct field_desc *g = m->fields; g < f; g++)
		if (strcmp(f->name, g->name) == 0)
			fail_msg("%s.%s: is there twice", m->name, f->name);
	check_default(m, f);
}

static void walk(const struct message_desc *m, json_t *seen)
{
	json_t *before = json_object_get(seen, m->name);

	if (before) {
		/* One name, one message. */
		assert_ptr_equal((const void *)(uintptr_t)json_integer_value(before), m);
		return;
	}
	json_object_set_new(seen, m->name, json_integer((json_int_t)(uintptr_t)m));
	assert_true(!*m->help || is_sentence(m->help));
	for (size_t i = 0; i < m->n_fields; i++) {
		check_field(m, &m->fields[i]);
		if (m->fields[i].msg)
			walk(m->fields[i].msg, seen);
	}
}

static void every_table_is_whole(void **state)
{
	CLEANUP_JSON json_t *seen = json_object();

	(void)state;
	for (size_t i = 0; i < model_n_kinds; i++) {
		const struct kind_desc *k = model_kinds[i];

		assert_true(is_sentence(k->help));
		assert_ptr_equal(kind_find(k->path), k);
		assert_true(!k->of || (kind_find(k->of) && (k->flags & K_NO_CREATE)));
		walk(k->msg, seen);
		if (k->flags & K_RUNTIME)
			continue;
		assert_non_null(field_find(k->msg, "uuid"));
		assert_int_equal(!!(k->flags & K_TENANT), field_find(k->msg, "tenant_ref") &&
								  strcmp(k->path, "cluster") != 0);
		assert_int_equal(!!(k->flags & K_CLOUD), field_find(k->msg, "cloud_ref") != NULL);
	}
	assert_true(json_object_size(seen) > 270);
	assert_null(kind_find("nope"));
}

/* ---- generated objects ----------------------------------------------- */

static uint64_t seed;

static uint64_t dice(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static json_t *make_message(const struct message_desc *m, int depth, size_t index);

static json_t *make_address(size_t index)
{
	static const char *const types[] = { "V4", "V6", "DNS" };
	size_t type = dice(3);
	char addr[64];

	snprintf(addr, sizeof(addr),
		 type == 0   ? "10.1.%zu.%zu"
		 : type == 1 ? "fd00::%zx:%zx"
			     : "h%zu-%zu.example",
		 (size_t)dice(256), index);
	return json_pack("{s:s, s:s}", "addr", addr, "type", types[type]);
}

/* Messages whose fields depend on each other. */
static json_t *make_special(const struct message_desc *m, size_t index)
{
	if (m == &ip_addr_message)
		return make_address(index);
	if (m == &ip_addr_prefix_message)
		return json_pack("{s:{s:o, s:s}, s:i}", "ip_addr", "addr",
				 json_sprintf("10.2.%zu.0", index), "type", "V4", "mask",
				 (int)dice(33));
	if (m == &ip_addr_range_message)
		return json_pack("{s:{s:o, s:s}, s:{s:o, s:s}}", "begin", "addr",
				 json_sprintf("10.2.%zu.1", index), "type", "V4", "end", "addr",
				 json_sprintf("10.2.%zu.9", index), "type", "V4");
	if (m == &port_range_message)
		return json_pack("{s:i, s:i}", "start", 1024, "end", 1024 + (int)dice(100));
	if (m == &debug_ip_addr_message)
		return json_pack("{s:[{s:s, s:s}, {s:s, s:s}], s:s}", "addrs", "addr", "10.2.0.1", "type", "V4", "addr", "fd00::2", "type",
				 "V6", "match_operation", dice(2) ? "IS_IN" : "IS_NOT_IN");
	if (m == &capture_filters_message)
		return json_pack("{s:i, s:i, s:i, s:b, s:s}", "src_port", 80, "src_port_range_end", 80 + (int)dice(100), "dst_port_start",
				 1 + (int)dice(65535), "tcp_syn", (int)dice(2), "ip_proto", "IP_TYPE_TCP");
	if (m == &source_port_addr_message)
		return json_pack("{s:i, s:i}", "src_port_start", 1024, "src_port_end", 1024 + (int)dice(100));
	if (m == &destination_port_addr_message)
		return json_pack("{s:i, s:i}", "dst_port_start", 1024, "dst_port_end", 1024 + (int)dice(100));
	if (m == &service_message)
		return json_pack("{s:i, s:i}", "port", 1000 + (int)index * 20, "port_range_end",
				 dice(2) ? 0 : 1005 + (int)index * 20);
	return NULL;
}

static json_t *make_int(const struct field_desc *f)
{
	const char *special = f->special ? f->special : f->one_of;

	if (special && (f->one_of || dice(3) == 0))
		return json_integer(strtoll(special, NULL, 10));
	if (f->min < f->max)
		return json_integer(
			(json_int_t)(f->min + (int64_t)dice((uint64_t)(f->max - f->min) + 1)));
	return json_integer((json_int_t)dice(1000));
}

static json_t *make_item(const struct field_desc *f, int depth, size_t index)
{
	char text[96];
	const char *word;
	size_t len;
	int words = 0;

	switch (f->type) {
	case FT_BOOL:
		return json_boolean(dice(2));
	case FT_INT:
		return make_int(f);
	case FT_FLOAT:
		return json_real(f->min < f->max ? (double)f->min + 0.5 : (double)dice(100) / 4);
	case FT_STR:
		if (f->format == STR_MAC)
			snprintf(text, sizeof(text), "02:00:00:00:%02x:%02x", (unsigned)dice(256),
				 (unsigned)index);
		else if (f->format == STR_FILTER)
			snprintf(text, sizeof(text), "eq(t%zu,%zu)", (size_t)dice(1000), index);
		else if (f->format == STR_IP)
			snprintf(text, sizeof(text), "10.0.0.%zu", index);
		else
			snprintf(text, sizeof(text), "t%zu-%zu", (size_t)dice(1000), index);
		return json_string(text);
	case FT_ENUM:
		while (word_at(f->values, words, &len))
			words++;
		word = word_at(f->values, (int)dice((uint64_t)words), &len);
		return json_stringn(word, len);
	case FT_REF:
		snprintf(text, sizeof(text), "/api/%s?name=n%zu", f->ref, (size_t)dice(100));
		return json_string(text);
	case FT_MSG:
		return make_message(f->msg, depth - 1, index);
	}
	return NULL;
}

static json_t *make_list(const struct field_desc *f, int depth)
{
	size_t n = f->min_items + (size_t)dice(3);
	json_t *list = json_array();

	if (f->max_items && n > f->max_items)
		n = f->max_items;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, make_item(f, depth, i));
	return list;
}

/* A reference to a kind that does not exist here cannot be read. */
static bool can_be_set(const struct field_desc *f)
{
	if (f->flags & F_READONLY)
		return false;
	if (f->type == FT_REF && !kind_find(f->ref))
		return false;
	for (size_t i = 0; f->msg && i < f->msg->n_fields; i++)
		if ((f->msg->fields[i].flags & F_REQUIRED) && !can_be_set(&f->msg->fields[i]))
			return false;
	return true;
}

/* What single messages demand beyond their tables. INDEX: the place of O in its list. */
static void make_sense(const struct message_desc *m, json_t *o, size_t index)
{
	static const char *const one_address = "{s:s, s:s}";
	static const struct {
		const char *message, *field;
	} addresses[] = { { "StaticRoute", "next_hop" }, { "GatewayMonitor", "gateway_ip" }, { "IpAddrPort", "ip" } };

	for (size_t i = 0; i < m->n_fields; i++)
		if (strcmp(m->fields[i].name, "index") == 0 && m->fields[i].type == FT_INT)
			json_object_set_new(o, "index", json_integer((json_int_t)index + 1));
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		if (strcmp(m->name, addresses[i].message) == 0)
			json_object_set_new(o, addresses[i].field, json_pack(one_address, "addr", "10.0.0.7", "type", "V4"));
	if (strcmp(m->name, "IpAddrMatch") == 0)
		json_object_set_new(o, "addrs", json_pack("[{s:s, s:s}]", "addr", "10.0.0.7", "type", "V4"));
	if (strcmp(m->name, "PortMatchGeneric") == 0)
		json_object_set_new(o, "ports", json_pack("[i]", 80));
	if (strcmp(m->name, "FailAction") == 0)
		json_object_set_new(o, "type", json_string("FAIL_ACTION_CLOSE_CONN"));
	if (strcmp(m->name, "Permission") == 0)
		json_object_set_new(o, "resource", json_string(index % 2 ? "PERMISSION_POOL" : "PERMISSION_ROLE"));
	if (strcmp(m->name, "EquivalentLabels") == 0)
		json_object_set_new(o, "labels", json_pack("[o]", json_sprintf("level %zu", index)));
}

static json_t *make_message(const struct message_desc *m, int depth, size_t index)
{
	json_t *o = make_special(m, index);

	if (o)
		return o;
	o = json_object();
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct field_desc *f = &m->fields[i];
		bool must_be = f->flags & (F_REQUIRED | F_KEY);

		if (!can_be_set(f) || (!must_be && (depth <= 0 || dice(2))))
			continue;
		json_object_set_new(o, f->name,
				    f->list ? make_list(f, depth) : make_item(f, depth, index));
	}
	make_sense(m, o, index);
	return o;
}

static void make_legal(const struct kind_desc *k, json_t *o)
{
	static const char *const rates[] = { "connections_rate_limit", "requests_rate_limit" };
	json_t *vip, *receiver, *rule;
	size_t i;

	if (strcmp(k->path, "pool") == 0)
		json_object_set_new(o, "lb_algorithm_consistent_hash_hdr", json_string("x-who"));
	if (strcmp(k->path, "healthmonitor") == 0) {
		json_object_set_new(o, "type", json_string("HEALTH_MONITOR_HTTP"));
		for (i = 0; i < 2; i++)
			json_object_del(json_object_get(o, i ? "https_monitor" : "http_monitor"), "auth_type");
		json_object_del(json_object_get(o, "tcp_monitor"), "tcp_half_open");
		json_object_del(json_object_get(o, "dns_monitor"), "response_string");
		json_object_set_new(o, "send_interval", json_integer(2500));
		json_object_set_new(o, "receive_timeout", json_integer(1 + (json_int_t)dice(2400)));
	}
	json_array_foreach(json_object_get(o, "rules"), i, rule)
		if (strcmp(k->path, "networksecuritypolicy") == 0)
			json_object_set_new(rule, "rl_param",
					    json_pack("{s:i, s:i}", "max_rate", 5, "burst_size", 9));
	for (i = 0; i < ARRAY_SIZE(rates); i++)
		if (json_object_get(o, rates[i]))
			json_object_set_new(json_object_get(o, rates[i]), "action",
					    json_pack("{s:s}", "type", "RL_ACTION_CLOSE_CONN"));
	json_array_foreach(json_object_get(o, "clone_servers"), i, receiver) {
		json_object_set_new(receiver, "ip_address",
				    json_pack("{s:o, s:s}", "addr", json_sprintf("fd00::%zx", i + 1), "type", "V6"));
		json_object_del(receiver, "subnet");
		if (json_object_get(receiver, "encapsulation"))
			json_object_set_new(receiver, "encapsulation",
					    json_pack("{s:s, s:i}", "type", "CLONE_ENCAP_GRE", "key", (int)dice(9)));
	}
	if (strcmp(k->path, "trafficcloneprofile") == 0) {
		json_object_set_new(o, "payload", json_string("CLONE_DECRYPTED"));
		json_object_del(json_object_get(o, "filter"), "path_prefixes");
		json_object_del(o, "side");
		if (json_object_get(o, "flow_log"))
			json_object_set_new(o, "flow_log", json_pack("{s:s, s:s}", "type", "CLONE_LOG_FILE",
								     "file_name", "flows.json"));
	}
	json_array_foreach(json_object_get(o, "vip"), i, vip) {
		if (strcmp(k->path, "vsvip") != 0)
			break;
		json_object_set_new(vip, "ip_address",
				    json_pack("{s:s, s:s}", "addr", "10.0.0.1", "type", "V4"));
		json_object_del(vip, "ip6_address");
	}
}

static json_t *reread(const struct kind_desc *k, const json_t *wire, const char *what)
{
	struct err e = { 0 };
	json_t *out = NULL;

	if (model_read(k, wire, MODEL_STRICT | MODEL_ALLOW_LATER, &world, &out, NULL, &e) < 0) {
		CLEANUP_FREE char *text = json_text(wire);

		fail_msg("%s: %s: %s in %.3000s", k->path, what, err_line(&e), text);
	}
	return out;
}

static void assert_same(const struct kind_desc *k, const json_t *a, const json_t *b,
			const char *what)
{
	CLEANUP_FREE char *s = json_text(a);
	CLEANUP_FREE char *t = json_text(b);

	if (strcmp(s, t) != 0)
		fail_msg("%s: %s:\n%.3000s\n%.3000s", k->path, what, s, t);
}

static void survives_conversions(const struct kind_desc *k)
{
	const struct model_write full = { .base_url = "https://h:1",
					  .include_name = true,
					  .secrets = true };
	const struct model_write sparse = { .base_url = "https://h:1",
					    .skip_default = true,
					    .secrets = true };
	CLEANUP_JSON json_t *wire = make_message(k->msg, 4, 0);
	CLEANUP_JSON json_t *stored = NULL, *again = NULL, *out = NULL, *short_out = NULL;
	CLEANUP_JSON json_t *from_out = NULL, *from_short = NULL, *out2 = NULL, *out3 = NULL;
	struct arena arena = ARENA_INIT;

	make_legal(k, wire);
	stored = reread(k, wire, "as generated");
	again = reread(k, stored, "stored form");
	assert_same(k, stored, again, "reading the stored form changes it");

	out = model_write(k, stored, &full, &world);
	from_out = reread(k, out, "answer");
	out2 = model_write(k, from_out, &full, &world);
	assert_same(k, out, out2, "writing back an answer changes it");

	short_out = model_write(k, stored, &sparse, &world);
	from_short = reread(k, short_out, "answer without defaults");
	out3 = model_write(k, from_short, &full, &world);
	assert_same(k, out, out3, "writing back an answer without defaults changes it");

	assert_int_equal(model_diff(k, stored, again, NULL), APPLY_NONE);
	assert_non_null(model_load(k->msg, stored, &arena));
	arena_fini(&arena);
}

static void objects_survive_conversions(void **state)
{
	(void)state;
	seed = 88172645463325252ULL;
	for (int round = 0; round < 60; round++)
		for (size_t i = 0; i < model_n_kinds; i++)
			if (!(model_kinds[i]->flags & K_READONLY))
				survives_conversions(model_kinds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_table_is_whole),
		cmocka_unit_test(objects_survive_conversions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

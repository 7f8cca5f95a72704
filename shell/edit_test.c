#include "base/test.h"

#include "shell/edit.h"

static const char model_text[] =
	"{'messages': {"
	" 'IpAddr': {'fields': [{'name': 'addr', 'type': 'string'}, {'name': 'type', 'type': 'enum', 'values': ['V4', 'V6']}]},"
	" 'Prefix': {'fields': [{'name': 'ip_addr', 'type': 'message', 'message': 'IpAddr'}, {'name': 'mask', 'type': 'uint32'}]},"
	" 'Range': {'fields': [{'name': 'begin', 'type': 'message', 'message': 'IpAddr'},"
	"                      {'name': 'end', 'type': 'message', 'message': 'IpAddr'}]},"
	" 'Server': {'fields': [{'name': 'ip', 'type': 'message', 'message': 'IpAddr', 'key': true},"
	"                       {'name': 'port', 'type': 'uint32', 'key': true}, {'name': 'ratio', 'type': 'uint32'}]},"
	" 'Vip': {'fields': [{'name': 'id', 'type': 'string', 'key': true},"
	"                    {'name': 'ip_address', 'type': 'message', 'message': 'IpAddr'},"
	"                    {'name': 'ip6_address', 'type': 'message', 'message': 'IpAddr'}]},"
	" 'Thing': {'fields': ["
	"  {'name': 'on', 'type': 'bool'}, {'name': 'n', 'type': 'int32'}, {'name': 'f', 'type': 'float'}, {'name': 's', 'type': 'string'},"
	"  {'name': 'algo', 'type': 'enum', 'values': ['ALGO_ROUND_ROBIN', 'ALGO_LEAST_LOAD', 'ALGO_LEAST_CONNECTIONS']},"
	"  {'name': 'pool', 'type': 'ref', 'ref': 'pool'}, {'name': 'words', 'type': 'string', 'list': true},"
	"  {'name': 'servers', 'type': 'message', 'message': 'Server', 'list': true},"
	"  {'name': 'vips', 'type': 'message', 'message': 'Vip', 'list': true},"
	"  {'name': 'nets', 'type': 'message', 'message': 'Prefix', 'list': true},"
	"  {'name': 'range', 'type': 'message', 'message': 'Range'},"
	"  {'name': 'inner', 'type': 'message', 'message': 'Server'}]}}}";

/* JSON with ' for ". */
static json_t *json(const char *text)
{
	CLEANUP_FREE char *copy = xstrdup(text);
	json_t *v;

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	assert_int_equal(json_read(copy, strlen(copy), &v, NULL), 0);
	return v;
}

static void values_are_what_tables_show(void **state)
{
	static const struct {
		const char *path, *value, *before, *after;
	} cases[] = {
		{ "on", "true", "{}", "{'on': true}" },
		{ "n", "-1", "{}", "{'n': -1}" },
		{ "f", "0.5", "{}", "{'f': 0.5}" },
		{ "f", "2", "{}", "{'f': 2}" },
		{ "s", "a, b", "{}", "{'s': 'a, b'}" },
		{ "algo", "Round_Robin", "{}", "{'algo': 'ALGO_ROUND_ROBIN'}" },
		{ "algo", "load", "{}", "{'algo': 'ALGO_LEAST_LOAD'}" },
		{ "pool", "a b", "{}", "{'pool': '/api/pool?name=a%20b'}" },
		{ "pool", "/api/pool/pool-1", "{}", "{'pool': '/api/pool/pool-1'}" },
		{ "words", "a, b,", "{'words': ['x']}", "{'words': ['a', 'b']}" },
		{ "words", " a b ,c", "{}", "{'words': ['a b', 'c']}" },
		{ "words", "+b", "{'words': ['x']}", "{'words': ['x', 'b']}" },
		{ "words", "", "{'words': ['x']}", "{'words': []}" },
		{ "servers", "10.0.0.5:80,[::1]:81,::2", "{}",
		  "{'servers': [{'ip': {'addr': '10.0.0.5', 'type': 'V4'}, 'port': 80},"
		  " {'ip': {'addr': '::1', 'type': 'V6'}, 'port': 81}, {'ip': {'addr': '::2', 'type': 'V6'}}]}" },
		{ "servers", "[{'ratio': 2}]", "{}", "{'servers': [{'ratio': 2}]}" },
		{ "servers.1.ratio", "3", "{'servers': [{'port': 1}]}", "{'servers': [{'port': 1, 'ratio': 3}]}" },
		{ "servers.2", "10.0.0.6", "{'servers': [{'port': 1}]}",
		  "{'servers': [{'port': 1}, {'ip': {'addr': '10.0.0.6', 'type': 'V4'}}]}" },
		{ "servers[[::1]:81].port", "82", "{'servers': [{'ip': {'addr': '::1', 'type': 'V6'}, 'port': 81}]}",
		  "{'servers': [{'ip': {'addr': '::1', 'type': 'V6'}, 'port': 82}]}" },
		{ "vips", "10.0.0.1,::1", "{}",
		  "{'vips': [{'ip_address': {'addr': '10.0.0.1', 'type': 'V4'}},"
		  " {'ip6_address': {'addr': '::1', 'type': 'V6'}}]}" },
		{ "nets", "10.0.0.0/8,fd00::/64", "{}",
		  "{'nets': [{'ip_addr': {'addr': '10.0.0.0', 'type': 'V4'}, 'mask': 8},"
		  " {'ip_addr': {'addr': 'fd00::', 'type': 'V6'}, 'mask': 64}]}" },
		{ "range", "10.0.0.1-10.0.0.9", "{}",
		  "{'range': {'begin': {'addr': '10.0.0.1', 'type': 'V4'}, 'end': {'addr': '10.0.0.9', 'type': 'V4'}}}" },
		{ "inner.ip", "10.0.0.1", "{}", "{'inner': {'ip': {'addr': '10.0.0.1', 'type': 'V4'}}}" },
		{ "inner.port", NULL, "{'inner': {'port': 1, 'ratio': 2}}", "{'inner': {'ratio': 2}}" },
		{ "servers.1", NULL, "{'servers': [{'port': 1}, {'port': 2}]}", "{'servers': [{'port': 2}]}" },
		{ "inner.port", NULL, "{}", "{}" },
		{ "words", NULL, "{'words': ['x']}", "{}" },
	};
	CLEANUP_JSON json_t *model = json(model_text);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP_JSON json_t *object = json(cases[i].before), *want = json(cases[i].after);
		CLEANUP_FREE char *value = cases[i].value ? xstrdup(cases[i].value) : NULL;
		CLEANUP_FREE char *text = NULL;
		struct err e;

		for (char *p = value; p && *p; p++)
			if (*p == '\'')
				*p = '"';
		if ((value ? edit_set(model, "Thing", object, cases[i].path, value, &e)
			   : edit_unset(model, "Thing", object, cases[i].path, &e)) != 0)
			fail_msg("%s %s: %s", cases[i].path, value, err_line(&e));
		text = json_text(object);
		if (!json_equal(object, want))
			fail_msg("%s %s gives %s", cases[i].path, value, text);
	}
}

static void what_cannot_be_read_is_said(void **state)
{
	static const struct {
		const char *path, *value, *sentence;
	} cases[] = {
		{ "on", "yes", "on: 'yes' is not true or false." },
		{ "n", "1.5", "n: '1.5' is not a whole number." },
		{ "f", "x", "f: 'x' is not a number." },
		{ "algo", "least", "algo: 'least' could be any of: ALGO_LEAST_LOAD, ALGO_LEAST_CONNECTIONS." },
		{ "algo", "oun", "algo: 'oun' is none of: ALGO_ROUND_ROBIN, ALGO_LEAST_LOAD, ALGO_LEAST_CONNECTIONS." },
		{ "oo", "1", "oo: There is no such field in Thing; there is: pool." },
		{ "xyz", "1", "xyz: There is no such field in Thing." },
		{ "on.x", "1", "on: It has no members." },
		{ "servers.x", "1", "servers: It is a list: name an item by its number, from 1, or [KEY]." },
		{ "servers.3.port", "1", "servers: It has 1 item, and no number 3." },
		{ "servers.0.port", "1", "servers: It has 1 item, and no number 0." },
		{ "servers.-1.port", "1", "servers: It is a list: name an item by its number, from 1, or [KEY]." },
		{ "servers.99999999999999999999.port", "1", "servers: It has 1 item, and no number 99999999999999999999." },
		{ "servers[x", "1", "servers: The bracket is not closed." },
		{ "servers[x].port", "1", "servers: It has no item 'x'." },
		{ "servers", "10.0.0.1:x", "port: 'x' is not a whole number." },
		{ "servers", "300.0.0.1:80", "ip: '300.0.0.1' is not an address." },
		{ "servers", "10.0.0", "ip: '10.0.0' is not an address." },
		{ "servers.1.port", "x", "servers.1.port: 'x' is not a whole number." },
		{ "inner", "{", "" },
	};
	CLEANUP_JSON json_t *model = json(model_text);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP_JSON json_t *object = json("{'servers': [{'port': 1}]}");
		struct err e;
		int rc = edit_set(model, "Thing", object, cases[i].path, cases[i].value, &e);

		assert_true(rc < 0);
		if (*cases[i].sentence && strcmp(err_line(&e), cases[i].sentence))
			fail_msg("%s %s: %s", cases[i].path, cases[i].value, err_line(&e));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_what_tables_show),
		cmocka_unit_test(what_cannot_be_read_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

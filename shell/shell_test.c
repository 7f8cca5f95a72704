#include "base/test.h"

#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shell/credentials.h"
#include "shell/filter.h"
#include "shell/grid.h"
#include "shell/kinds.h"
#include "shell/show.h"
#include "shell/text.h"
#include "shell/tree.h"

/* ---- credentials ------------------------------------------------------ */

static char home[64], file[128];

static int make_home(void **state)
{
	(void)state;
	snprintf(home, sizeof(home), "/tmp/swshell-XXXXXX");
	assert_non_null(mkdtemp(home));
	snprintf(file, sizeof(file), "%s/spanwire", home);
	assert_int_equal(mkdir(file, 0700), 0);
	snprintf(file, sizeof(file), "%s/spanwire/credentials", home);
	setenv("XDG_CONFIG_HOME", home, 1);
	unsetenv("SPANWIRE_CONTROLLER");
	unsetenv("SPANWIRE_USER");
	unsetenv("SPANWIRE_PASSWORD");
	unsetenv("SPANWIRE_PASSWORD_FILE");
	unsetenv("SPANWIRE_TENANT");
	unsetenv("SPANWIRE_CA");
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int remove_home(void **state)
{
	(void)state;
	return nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *text, unsigned mode)
{
	assert_int_equal(file_replace(file, text, strlen(text), mode), 0);
}

static void the_command_line_beats_environment_beats_file(void **state)
{
	struct credentials c = { .tenant = xstrdup("from-option") };
	struct err e;
	(void)state;

	write_file(
		"# mine\n\ncontroller = https://c.example:9443/\n  user=file-user\npassword = s3 cret\ntenant=t\n",
		0600);
	setenv("SPANWIRE_USER", "environment-user", 1);
	setenv("SPANWIRE_TENANT", "environment-tenant", 1);
	assert_int_equal(credentials_complete(&c, &e), 0);
	assert_string_equal(c.controller, "https://c.example:9443");
	assert_string_equal(c.user, "environment-user");
	assert_string_equal(c.tenant, "from-option");
	assert_string_equal(c.password, "s3 cret");
	assert_null(c.ca);
	credentials_fini(&c);
}

static void a_password_of_the_environment_beats_any_of_the_file(void **state)
{
	struct credentials c = { 0 };
	char *path = xasprintf("%s/secret", home);
	struct err e;
	(void)state;

	assert_int_equal(file_replace(path, "from-password-file\n", 19, 0600), 0);
	write_file("controller = c.example\npassword = from-credentials\n", 0600);
	setenv("SPANWIRE_PASSWORD_FILE", path, 1);
	assert_int_equal(credentials_complete(&c, &e), 0);
	assert_string_equal(c.controller, "https://c.example");
	assert_string_equal(c.password, "from-password-file");
	assert_string_equal(c.user, "admin");
	assert_string_equal(c.tenant, "admin");
	credentials_fini(&c);
	free(path);
}

static void a_file_that_others_can_read_is_refused(void **state)
{
	static const unsigned modes[] = { 0644, 0640, 0604, 0620 };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct credentials c = { 0 };
		struct err e;

		write_file("controller = c.example\npassword = x\n", modes[i]);
		assert_int_equal(credentials_complete(&c, &e), -EPERM);
		assert_non_null(strstr(e.text, "is open to others"));
		assert_non_null(strstr(e.text, "chmod it to 0600"));
		credentials_fini(&c);
	}
}

static void what_is_missing_or_wrong_is_a_sentence(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "Which controller?" },
		{ "controller = http://c.example\npassword = x\n", "must begin with https://" },
		{ "controller = c.example\n", "No password" },
		{ "controller = c.example\npassword_file = /nowhere/at/all\n", "/nowhere/at/all" },
		{ "controller = c.example\npasswort = x\n",
		  "line 2: there is no setting 'passwort'" },
		{ "controller\n", "line 1: expected name = value" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct credentials c = { 0 };
		struct err e = { 0 };

		write_file(cases[i].text, 0600);
		assert_true(credentials_complete(&c, &e) < 0);
		if (!strstr(e.text, cases[i].says))
			fail_msg("\"%s\" instead of \"%s\"", e.text, cases[i].says);
		credentials_fini(&c);
	}
}

/* ---- kinds ------------------------------------------------------------ */

static const char model_text[] =
	"{\"kinds\": ["
	" {\"kind\": \"teapot\", \"message\": \"TeaPot\"},"
	" {\"kind\": \"teapotgroup\", \"message\": \"TeaPotGroup\"},"
	" {\"kind\": \"kettle\", \"message\": \"Kettle\"},"
	" {\"kind\": \"steam\", \"message\": \"Steam\", \"runtime\": true}],"
	" \"messages\": {\"TeaPot\": {\"fields\": ["
	"  {\"name\": \"uuid\", \"type\": \"string\"},"
	"  {\"name\": \"name\", \"type\": \"string\", \"required\": true},"
	"  {\"name\": \"enabled\", \"type\": \"bool\", \"default\": true},"
	"  {\"name\": \"colour\", \"type\": \"string\"},"
	"  {\"name\": \"cups\", \"type\": \"message\", \"message\": \"Cup\", \"list\": true},"
	"  {\"name\": \"lid\", \"type\": \"message\", \"message\": \"Lid\"},"
	"  {\"name\": \"kettle_ref\", \"type\": \"ref\", \"ref\": \"kettle\"},"
	"  {\"name\": \"secret\", \"type\": \"string\", \"secret\": true},"
	"  {\"name\": \"dream\", \"type\": \"string\", \"inert\": true}]},"
	" \"Cup\": {\"fields\": ["
	"  {\"name\": \"ip\", \"type\": \"message\", \"key\": true},"
	"  {\"name\": \"port\", \"type\": \"int32\", \"key\": true},"
	"  {\"name\": \"ratio\", \"type\": \"int32\"}]},"
	" \"Lid\": {\"fields\": ["
	"  {\"name\": \"lid_id\", \"type\": \"string\", \"key\": true},"
	"  {\"name\": \"at\", \"type\": \"message\"}]}}}";

static json_t *model;

static int read_model(void **state)
{
	struct err e;
	(void)state;

	if (json_read(model_text, strlen(model_text), &model, &e))
		fail_msg("%s", e.text);
	return 0;
}

static int drop_model(void **state)
{
	(void)state;
	json_decref(model);
	return 0;
}

static void a_kind_may_be_shortened_while_it_is_clear(void **state)
{
	static const struct {
		const char *text, *kind, *says;
	} cases[] = {
		{ "teapot", "teapot", NULL },
		{ "TeaPot", "teapot", NULL },
		{ "tea-pot_group", "teapotgroup", NULL },
		{ "k", "kettle", NULL },
		{ "teapotg", "teapotgroup", NULL },
		{ "tea", NULL, "'tea' could be any of: teapot, teapotgroup." },
		{ "pot", NULL, "There is no kind 'pot'; `show` lists them." },
		{ "steam", NULL, "There is no kind 'steam'" },
		{ "-", NULL, "There is no kind '-'" },
		{ "teapots", NULL, "There is no kind 'teapots'" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const json_t *kind;
		struct err e = { 0 };
		int rc = kinds_find(model, cases[i].text, &kind, &e);

		assert_int_equal(rc, cases[i].kind ? 0 : -EINVAL);
		if (cases[i].kind)
			assert_string_equal(json_str(kind, "kind", ""), cases[i].kind);
		else if (!strstr(e.text, cases[i].says))
			fail_msg("\"%s\" instead of \"%s\"", e.text, cases[i].says);
	}
}

static void columns_are_what_is_set_the_telling_ones_first(void **state)
{
	CLEANUP_JSON json_t *objects =
		json_pack("[{s:s, s:s, s:s, s:s, s:s, s:{s:i}, s:[]}, {s:s}]", "name", "a",
			  "colour", "red", "kettle_ref", "/api/kettle/kettle-1", "secret", "x",
			  "dream", "y", "lid", "size", 3, "cups", "name", "b");
	const json_t *kind, *columns[4];
	struct err e;
	(void)state;

	assert_int_equal(kinds_find(model, "teapot", &kind, &e), 0);
	assert_int_equal(kinds_columns(model, kind, objects, columns, 4), 4);
	assert_string_equal(json_str(columns[0], "name", ""), "enabled");
	assert_string_equal(json_str(columns[1], "name", ""), "colour");
	assert_string_equal(json_str(columns[2], "name", ""), "cups");
	assert_string_equal(json_str(columns[3], "name", ""), "kettle_ref");
	assert_int_equal(kinds_columns(model, kind, objects, columns, 3), 3);
	assert_string_equal(json_str(columns[1], "name", ""), "cups");
	assert_string_equal(json_str(columns[2], "name", ""), "kettle_ref");
}

static void items_show_by_their_keys_or_address(void **state)
{
	CLEANUP_JSON json_t *lids = json_pack("[{s:s, s:{s:s}}, {s:s}]", "lid_id", "1", "at",
					      "addr", "fd00::1", "lid_id", "2");
	CLEANUP_JSON json_t *cups =
		json_pack("[{s:{s:s, s:s}, s:i, s:i}, {s:{s:s, s:s}, s:i}, {s:{s:s}}]", "ip",
			  "addr", "10.0.0.5", "type", "V4", "port", 80, "ratio", 2, "ip", "addr",
			  "fd00::6", "type", "V6", "port", 81, "ip", "addr", "10.0.0.7");
	const json_t *fields = kinds_fields(model, "TeaPot");
	char *cell = kinds_cell(model, json_array_get(fields, 4), cups);
	(void)state;

	assert_string_equal(cell, "10.0.0.5:80, [fd00::6]:81, 10.0.0.7");
	free(cell);
	cell = kinds_cell(model, json_array_get(fields, 5), lids);
	assert_string_equal(cell, "fd00::1, 2");
	free(cell);
	cell = kinds_cell(model, json_array_get(fields, 2), NULL);
	assert_string_equal(cell, "true");
	free(cell);
}

/* ---- text, tables ------------------------------------------------------- */

static void values_read_as_one_would_write_them(void **state)
{
	static const struct {
		const char *json, *text;
		bool flat;
	} cases[] = {
		{ "\"plain\"", "plain", true },
		{ "\"https://h:9443/api/pool/pool-1#web\"", "web", true },
		{ "\"/api/pool/pool-1\"", "pool-1", true },
		{ "\"see /api/pool/x\"", "see /api/pool/x", true },
		{ "true", "true", true },
		{ "null", "", true },
		{ "-5", "-5", true },
		{ "0.5", "0.5", true },
		{ "[1, \"b\", false]", "1, b, false", true },
		{ "[]", "", true },
		{ "{\"addr\": \"10.0.0.1\", \"type\": \"V4\"}", "10.0.0.1", true },
		{ "{\"ip_addr\": {\"addr\": \"10.0.0.0\", \"type\": \"V4\"}, \"mask\": 24}",
		  "10.0.0.0/24", true },
		{ "{\"secs\": 1795233489, \"usecs\": 362633}", "2026-11-21 03:58:09.362", true },
		{ "{\"secs\": 1795233489, \"usecs\": 0, \"n\": 1}",
		  "{\"n\":1,\"secs\":1795233489,\"usecs\":0}", false },
		{ "[{\"name\": \"se1\", \"up\": true}, {\"up\": false}]", "se1, {\"up\":false}",
		  false },
		{ "{\"b\": 1, \"a\": 2}", "{\"a\":2,\"b\":1}", false },
		{ "[{\"a\": 1}]", "{\"a\":1}", false },
	};
	(void)state;

	setenv("TZ", "UTC", 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP_JSON json_t *v = NULL;
		CLEANUP_FREE char *text = NULL;

		assert_int_equal(json_read(cases[i].json, strlen(cases[i].json), &v, NULL), 0);
		text = text_of(v);
		assert_string_equal(text, cases[i].text);
		assert_int_equal(text_is_flat(v), cases[i].flat);
	}
}

static void a_name_cannot_steer_the_terminal(void **state)
{
	char text[] = "a\033[2Jb\r\nc\x7f\xc2\x9b"
		      "d\xc3\xa9";
	(void)state;

	assert_string_equal(text_harmless(text), "a?[2Jb??c???d\xc3\xa9");
}

static void a_view_is_named_as_far_as_it_is_clear(void **state)
{
	static const struct {
		const char *words, *view;
	} t[] = {
		{ "runtime", "runtime" },      { "run", "runtime" },       { "runtime/detail", "runtime/detail" },
		{ "r/d", "runtime/detail" },   { "detail", "runtime/detail" }, { "s/h", "runtime/server/hmonstat" },
		{ "tcp", "tcpstat" },	       { "TCPSTAT", "tcpstat" },   { "t", NULL },
		{ "summary", "runtime" },      { "internal", "runtime/detail" }, { "memdist", NULL },
		{ "runtimes", NULL },	       { "runtime/", NULL },	   { "", NULL },
	};
	CLEANUP_JSON json_t *kind = json_pack("{s:[s,s,s,s,s,s]}", "views", "runtime/server/detail", "runtime", "runtime/detail",
					      "runtime/server/hmonstat", "tcpstat", "traffic_clone_stats");
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const char *view = kinds_view(kind, t[i].words, &e);

		if (!view != !t[i].view || (view && strcmp(view, t[i].view)))
			fail_msg("%s: %s", t[i].words, view ? view : "none");
		assert_int_equal(e.code, strcmp(t[i].words, "t") ? 0 : -EINVAL);
	}
}

static void rows_are_chosen_by_any_member(void **state)
{
	static const struct {
		const char *words[4];
		const char *left;
	} t[] = {
		{ { "state", "oper_up" }, "[[80, 81], [90]]" },
		{ { "oper.state", "OPER_DOWN" }, "[[82], []]" },
		{ { "port", "82" }, "[[82], []]" },
		{ { "se", "b" }, "[[90]]" },
		{ { "se", "b", "port", "91" }, "[[]]" },
		{ { "ip", "10.0.0.1" }, "[[80], []]" },
		{ { "ate", "OPER_UP" }, NULL },
		{ { "rows", "1" }, NULL },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		CLEANUP_JSON json_t *v = NULL, *left = json_array();
		struct filter f;
		const json_t *block, *row;
		struct err e;
		size_t j, k, n;
		const char *line[] = { "kind", "FILTER", t[i].words[0], t[i].words[1], t[i].words[2], t[i].words[3] };
		static const char *const answer =
			"[{\"se\": \"a\", \"rows\": [{\"port\": 80, \"oper\": {\"state\": \"OPER_UP\"}, \"ip\": {\"addr\": \"10.0.0.1\", \"type\": \"V4\"}},"
			" {\"port\": 81, \"oper\": {\"state\": \"OPER_UP\"}}, {\"port\": 82, \"oper\": {\"state\": \"OPER_DOWN\"}}]},"
			" {\"se\": \"b\", \"rows\": [{\"port\": 90, \"oper\": {\"state\": \"OPER_UP\"}}]}]";

		assert_int_equal(json_read(answer, strlen(answer), &v, &e), 0);
		assert_int_equal(filter_cut(&f, line, t[i].words[2] ? 6 : 4, &n, &e), 0);
		assert_int_equal(n, 1);
		assert_int_equal(filter_rows(&f, v, &e), t[i].left ? 0 : -EINVAL);
		json_array_foreach(v, j, block) {
			json_t *ports = json_array();

			json_array_foreach(json_object_get(block, "rows"), k, row)
				json_array_append(ports, json_object_get(row, "port"));
			json_array_append_new(left, ports);
		}
		if (t[i].left) {
			CLEANUP_FREE char *text = json_text(left);
			CLEANUP_JSON json_t *want = NULL;

			assert_int_equal(json_read(t[i].left, strlen(t[i].left), &want, &e), 0);
			if (!json_equal(want, left))
				fail_msg("%s %s: %s", t[i].words[0], t[i].words[1], text);
		}
	}
}

/* Of each engine one, the contract's counters also when they are 0. */
static void a_block_is_a_tree_without_zeros(void **state)
{
	CLEANUP_JSON json_t *v = json_pack("{s:s, s:[{s:{s:s, s:s}, s:i, s:i, s:i}], s:[]}", "proc_id", "PROC_Aggregate",
					   "clone_srvr_stats", "ip", "addr", "10.0.0.9", "type", "V4", "sent", 7,
					   "num_driver_failures", 0, "dropped_shed", 0, "hurt_flows");
	CLEANUP_FREE char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	grid_framed(true);
	tree_block(out, v, false);
	grid_framed(false);
	fclose(out);
	assert_string_equal(text, "+-----------------------+----------------+\n"
				  "| Field                 | Value          |\n"
				  "+-----------------------+----------------+\n"
				  "| proc_id               | PROC_Aggregate |\n"
				  "| clone_srvr_stats[1]   |                |\n"
				  "|   ip                  | 10.0.0.9       |\n"
				  "|   sent                | 7              |\n"
				  "|   num_driver_failures | 0              |\n"
				  "| hurt_flows            |                |\n"
				  "+-----------------------+----------------+\n"
				  "1 more are 0; --all shows them.\n");
}

static void assert_tree(const char *json, const char *expected)
{
	CLEANUP_JSON json_t *v = NULL;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(json_read(json, strlen(json), &v, NULL), 0);
	show_tree(out, v);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
}

static void a_tree_is_values_and_a_table_for_each_list(void **state)
{
	(void)state;
	assert_tree(
		"{\"name\": \"shop\", \"state\": {\"code\": \"UP\", \"n\": 2}, \"rows\": ["
		"{\"ip\": \"10.0.0.1\", \"sent\": 5}, {\"ip\": \"10.0.0.2\", \"lost\": {\"map\": 1}}]}",
		"FIELD      VALUE\n"
		"name       shop\n"
		"state.code UP\n"
		"state.n    2\n"
		"\n"
		"rows:\n"
		"IP       SENT LOST.MAP\n"
		"10.0.0.1 5    \n"
		"10.0.0.2      1\n");
}

static void lists_in_lists_say_whose_they_are(void **state)
{
	(void)state;
	assert_tree(
		"[{\"id\": 7, \"se_name\": \"se1\", \"rows\": [{\"ip\": \"a\", \"n\": 1}, {\"ip\": \"b\", \"n\": 2}]},"
		" {\"id\": 8, \"se_name\": \"se2\", \"rows\": [{\"ip\": \"a\", \"n\": 3}]}]",
		"ID SE_NAME\n"
		"7  se1\n"
		"8  se2\n"
		"\n"
		"rows:\n"
		"OF  IP N\n"
		"se1 a  1\n"
		"se1 b  2\n"
		"se2 a  3\n");
}

static void few_rows_with_much_in_them_stand_side_by_side(void **state)
{
	(void)state;
	assert_tree(
		"[{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"name\":\"x\"},"
		" {\"a\":9,\"name\":\"y\"}]",
		"FIELD x y\n"
		"a     1 9\n"
		"b     2 \n"
		"c     3 \n"
		"d     4 \n"
		"e     5 \n"
		"f     6 \n"
		"g     7 \n"
		"h     8 \n"
		"name  x y\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_home, remove_home)
#define M(f) cmocka_unit_test_setup_teardown(f, read_model, drop_model)
	const struct CMUnitTest tests[] = {
		T(the_command_line_beats_environment_beats_file),
		T(a_password_of_the_environment_beats_any_of_the_file),
		T(a_file_that_others_can_read_is_refused),
		T(what_is_missing_or_wrong_is_a_sentence),
		M(a_kind_may_be_shortened_while_it_is_clear),
		M(columns_are_what_is_set_the_telling_ones_first),
		M(items_show_by_their_keys_or_address),
		cmocka_unit_test(values_read_as_one_would_write_them),
		cmocka_unit_test(a_name_cannot_steer_the_terminal),
		cmocka_unit_test(a_view_is_named_as_far_as_it_is_clear),
		cmocka_unit_test(rows_are_chosen_by_any_member),
		cmocka_unit_test(a_block_is_a_tree_without_zeros),
		cmocka_unit_test(a_tree_is_values_and_a_table_for_each_list),
		cmocka_unit_test(lists_in_lists_say_whose_they_are),
		cmocka_unit_test(few_rows_with_much_in_them_stand_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/test.h"

#include <errno.h>

#include "base/base.h"
#include "shell/candidates.h"
#include "shell/merge.h"
#include "shell/mode.h"
#include "shell/text.h"
#include "shell/words.h"

/* A model small enough to be read: a basket with a message, lists, an enum, a secret. */
static const char text[] =
	"{'kinds': [{'kind': 'basket', 'message': 'Basket', 'help': 'What is carried.', 'views': ['runtime'],"
	"            'actions': [{'name': 'tip', 'parameters': [{'name': 'to_ref', 'type': 'ref', 'ref': 'basket',"
	"                                                       'help': 'Where to.'}]}]},"
	"           {'kind': 'debugbasket', 'message': 'Basket', 'help': 'x', 'of': 'basket'}],"
	" 'messages': {"
	"  'Basket': {'fields': ["
	"   {'name': 'name', 'type': 'string', 'required': true, 'help': 'Its name.'},"
	"   {'name': 'uuid', 'type': 'string', 'read_only': true, 'help': 'x'},"
	"   {'name': 'closed', 'type': 'bool', 'default': true, 'help': 'A lid.'},"
	"   {'name': 'size', 'type': 'int32', 'min': 1, 'max': 9, 'special': [0], 'unit': 'L', 'default': 3, 'help': 'How big.'},"
	"   {'name': 'side', 'type': 'enum', 'values': ['SIDE_LEFT', 'SIDE_RIGHT'], 'help': 'Which.'},"
	"   {'name': 'code', 'type': 'string', 'secret': true, 'help': 'Opens it.'},"
	"   {'name': 'tags', 'type': 'string', 'list': true, 'help': 'Words.'},"
	"   {'name': 'limits', 'type': 'message', 'message': 'Limits', 'help': 'How much.'},"
	"   {'name': 'only', 'type': 'message', 'message': 'Only', 'help': 'Whose.'},"
	"   {'name': 'days', 'type': 'enum', 'list': true, 'values': ['DAY_ONE', 'DAY_TWO', 'DAY_THREE'], 'help': 'When.'},"
	"   {'name': 'orders', 'type': 'message', 'list': true, 'message': 'Order', 'help': 'What is done.'},"
	"   {'name': 'eggs', 'type': 'message', 'list': true, 'message': 'Egg', 'help': 'What is in it.'}]},"
	"  'Order': {'fields': [{'name': 'index', 'type': 'int32', 'help': 'x'}, {'name': 'what', 'type': 'string', 'help': 'x'}]},"
	"  'Limits': {'fields': [{'name': 'eggs', 'type': 'int32', 'help': 'x'}, {'name': 'weight', 'type': 'int32', 'help': 'x'}]},"
	"  'Only': {'fields': [{'name': 'addrs', 'type': 'message', 'list': true, 'message': 'IpAddr', 'help': 'x'},"
	"   {'name': 'prefixes', 'type': 'message', 'list': true, 'message': 'Prefix', 'help': 'x'},"
	"   {'name': 'ranges', 'type': 'message', 'list': true, 'message': 'Range', 'help': 'x'}]},"
	"  'Egg': {'fields': [{'name': 'label', 'type': 'string', 'key': true, 'help': 'x'}, {'name': 'boiled', 'type': 'bool', 'help': 'x'}]},"
	"  'IpAddr': {'fields': [{'name': 'addr', 'type': 'string', 'help': 'x'}, {'name': 'type', 'type': 'string', 'help': 'x'}]},"
	"  'Prefix': {'fields': [{'name': 'ip_addr', 'type': 'message', 'message': 'IpAddr', 'help': 'x'}, {'name': 'mask', 'type': 'int32', 'help': 'x'}]},"
	"  'Range': {'fields': [{'name': 'begin', 'type': 'message', 'message': 'IpAddr', 'help': 'x'}, {'name': 'end', 'type': 'message', 'message': 'IpAddr', 'help': 'x'}]}}}";

static json_t *model;

static json_t *json(const char *single_quoted)
{
	CLEANUP_FREE char *s = xstrdup(single_quoted);
	json_t *v = NULL;

	for (char *p = s; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	assert_int_equal(json_read(s, strlen(s), &v, NULL), 0);
	return v;
}

static int read_model(void **state)
{
	(void)state;
	model = json(text);
	return 0;
}

static int forget_model(void **state)
{
	(void)state;
	json_decref(model);
	return 0;
}

static struct mode begin(const char *object)
{
	struct mode m;

	mode_open(&m, model, json_array_get(json_object_get(model, "kinds"), 0), json(object), false);
	return m;
}

/* One line; what mode_edit() says. */
static int type(struct mode *m, const char *line, struct err *e)
{
	struct words w;
	bool no;
	int rc;

	words_cut(&w, line);
	no = w.n && !strcmp(w.text[0], "no");
	rc = no ? mode_unset(m, (const char *const *)w.text + 1, w.n - 1, e)
		: mode_edit(m, (const char *const *)w.text, w.n, e);
	words_fini(&w);
	return rc;
}

static void types(struct mode *m, const char *line, const char *where)
{
	CLEANUP_FREE char *path = NULL;
	struct err e;

	if (type(m, line, &e))
		fail_msg("%s: %s", line, err_line(&e));
	path = mode_path(m);
	assert_string_equal(path, where);
}

static void refuses(struct mode *m, const char *line, const char *sentence)
{
	CLEANUP_JSON json_t *was = json_deep_copy(mode_level(m)->value);
	size_t depth = m->n;
	struct err e;

	assert_int_equal(type(m, line, &e), -EINVAL);
	if (!strstr(err_line(&e), sentence))
		fail_msg("%s: %s", line, err_line(&e));
	/* Whole or not at all. */
	assert_int_equal(m->n, depth);
	assert_true(json_equal(was, mode_level(m)->value));
}

static void ends_as(struct mode *m, const char *expected)
{
	CLEANUP_JSON json_t *v = json(expected);
	CLEANUP_FREE char *is = json_text(m->level[0].value), *wanted = json_text(v);

	assert_string_equal(is, wanted);
	mode_close(m);
}

/* ---- two who edit ----------------------------------------------------------------- */

static void what_two_changed_becomes_one(void **state)
{
	static const struct {
		const char *was, *mine, *theirs, *both, *clashes;
	} t[] = {
		{ "{'a':1}", "{'a':2}", "{'a':1,'b':3}", "{'a':2,'b':3}", "[]" },
		{ "{'a':1}", "{'a':2}", "{'a':3}", "{'a':2}", "['a']" },
		{ "{'a':1}", "{'a':2}", "{'a':2}", "{'a':2}", "[]" },
		{ "{'a':1,'b':1}", "{'b':1}", "{'a':1,'b':2}", "{'b':2}", "[]" },
		{ "{'a':1}", "{}", "{'a':2}", "{}", "['a']" },
		{ "{'a':1}", "{'a':2}", "{}", "{'a':2}", "['a']" },
		{ "{}", "{'m':{'x':1}}", "{'m':{'y':2}}", "{'m':{'x':1,'y':2}}", "[]" },
		{ "{'m':{'x':1}}", "{'m':{'x':2}}", "{'m':{'x':3,'y':2}}", "{'m':{'x':2,'y':2}}", "['m.x']" },
		{ "{'l':[1]}", "{'l':[1]}", "{'l':[1,2]}", "{'l':[1,2]}", "[]" },
		{ "{'l':[1]}", "{'l':[1,3]}", "{'l':[1,2]}", "{'l':[1,3]}", "['l']" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		CLEANUP_JSON json_t *was = json(t[i].was), *mine = json(t[i].mine), *theirs = json(t[i].theirs);
		CLEANUP_JSON json_t *both = json(t[i].both), *wanted = json(t[i].clashes), *clashes = json_array();
		CLEANUP_JSON json_t *is = merge(was, mine, theirs, clashes);

		if (!json_equal(is, both) || !json_equal(clashes, wanted))
			fail_msg("case %zu", i);
	}
}

/* ---- words --------------------------------------------------------------------------- */

static void a_line_is_cut(void **state)
{
	static const struct {
		const char *line, *words; /* with a '/' between them */
		size_t pipe;
		char open;
		bool between;
	} t[] = {
		{ "", "", 0, 0, true },
		{ "show  pool", "show/pool", 2, 0, false },
		{ " show pool ", "show/pool", 2, 0, true },
		{ "a \"b c\" 'd\\e' f\\ g", "a/b c/d\\e/f g", 4, 0, false },
		{ "a\"b c\"d", "ab cd", 1, 0, false },
		{ "a \"\" b", "a//b", 3, 0, false },
		{ "show | include x", "show/|/include/x", 1, 0, false },
		{ "show \"|\"", "show/|", 2, 0, false },
		{ "# all of it", "", 0, 0, true },
		{ "a # rest", "a", 1, 0, true },
		{ "a b#c", "a/b#c", 2, 0, false },
		{ "a \"b c", "a/b c", 2, '"', false },
		{ "a \\", "a/", 2, '\\', false },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct words w;
		struct buf b = BUF_INIT;

		words_cut(&w, t[i].line);
		for (size_t j = 0; j < w.n; j++)
			buf_printf(&b, "%s%s", j ? "/" : "", w.text[j]);
		assert_string_equal(b.len ? buf_cstr(&b) : "", t[i].words);
		assert_int_equal(w.pipe, t[i].pipe);
		assert_int_equal(w.open, t[i].open);
		assert_int_equal(w.between, t[i].between);
		buf_fini(&b);
		words_fini(&w);
	}
}

static void what_is_quoted_is_one_word_again(void **state)
{
	static const char *const t[] = { "web", "web shop", "", "a\"b", "a\\b", "#x", "it's", "a|b", "?", "<<x" };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		CLEANUP_FREE char *typed = words_quoted(t[i]);
		struct words w;

		words_cut(&w, typed);
		assert_int_equal(w.n, 1);
		assert_string_equal(w.text[0], t[i]);
		assert_int_equal(w.pipe, 1);
		words_fini(&w);
	}
}

/* ---- editing ----------------------------------------------------------------------------- */

static void fields_and_values(void **state)
{
	struct mode m = begin("{}");
	(void)state;

	types(&m, "name a size 4 closed side left", "basket");
	types(&m, "clo false", "basket");
	types(&m, "tags x y size 5", "basket");
	types(&m, "tags z", "basket");
	refuses(&m, "si 4", "could be any of: size, side");
	refuses(&m, "size", "needs a value");
	refuses(&m, "size big", "not a whole number");
	refuses(&m, "colour red", "no such field");
	refuses(&m, "size 7 colour red", "no such field");
	ends_as(&m, "{'name': 'a', 'size': 5, 'closed': false, 'side': 'SIDE_LEFT', 'tags': ['x', 'y', 'z']}");
}

static void messages_are_levels(void **state)
{
	struct mode m = begin("{}");
	(void)state;

	types(&m, "limits", "basket:limits");
	types(&m, "eggs 3", "basket:limits");
	assert_true(mode_changed(&m));
	assert_true(mode_up(&m, true));
	/* One line is done with it, but where a list was added to more may follow. */
	types(&m, "limits weight 9", "basket");
	types(&m, "only addrs 10.0.0.1", "basket:only");
	types(&m, "addrs 10.0.0.2 10.0.0.3", "basket:only");
	types(&m, "prefixes 10.1.0.0/16", "basket:only");
	assert_true(mode_up(&m, false));
	assert_null(json_object_get(m.level[0].value, "only"));
	assert_false(mode_up(&m, true));
	ends_as(&m, "{'limits': {'eggs': 3, 'weight': 9}}");
}

static void addresses_go_where_they_belong(void **state)
{
	struct mode m = begin("{}");
	(void)state;

	types(&m, "only 10.1.1.1 10.1.1.99", "basket");
	types(&m, "only 10.1.1.1-10.1.1.255", "basket");
	types(&m, "only 10.1.1.1/24, 10.2.2.2", "basket");
	refuses(&m, "only 10.1.1.1/x", "whole number");
	/* What is there is there: nothing is in it that could be set. */
	types(&m, "only addrs 10.1.1.1", "basket:only");
	assert_true(mode_up(&m, true));
	ends_as(&m, "{'only': {'addrs': [{'addr': '10.1.1.1', 'type': 'V4'}, {'addr': '10.1.1.99', 'type': 'V4'},"
		    "                    {'addr': '10.2.2.2', 'type': 'V4'}],"
		    " 'ranges': [{'begin': {'addr': '10.1.1.1', 'type': 'V4'}, 'end': {'addr': '10.1.1.255', 'type': 'V4'}}],"
		    " 'prefixes': [{'ip_addr': {'addr': '10.1.1.1', 'type': 'V4'}, 'mask': 24}]}}");
}

static void items_by_number_and_key(void **state)
{
	struct mode m = begin("{'eggs': [{'label': 'a'}, {'label': 'b'}]}");
	(void)state;

	types(&m, "eggs index 2 boiled", "basket");
	types(&m, "eggs label a boiled", "basket");
	types(&m, "eggs label c", "basket");
	types(&m, "eggs", "basket:eggs");
	assert_true(mode_level(&m)->is_new);
	types(&m, "label d", "basket:eggs");
	assert_true(mode_up(&m, true));
	types(&m, "eggs b", "basket:eggs");
	assert_false(mode_level(&m)->is_new);
	types(&m, "no boiled", "basket:eggs");
	assert_true(mode_up(&m, true));
	refuses(&m, "eggs index 9", "no number 9");
	refuses(&m, "eggs index x", "no number");
	refuses(&m, "eggs index", "Which index?");
	types(&m, "no eggs index 3", "basket");
	types(&m, "no eggs index 1 boiled", "basket");
	types(&m, "eggs.1.label A", "basket");
	types(&m, "--eggs.1.boiled true", "basket");
	refuses(&m, "no eggs zz", "no item 'zz'");
	ends_as(&m, "{'eggs': [{'label': 'A', 'boiled': true}, {'label': 'b', 'boiled': false}, {'label': 'd'}]}");
}

/* A number that items have in them, as rules do: their places count first. */
static void items_with_numbers_of_their_own(void **state)
{
	struct mode m = begin("{'orders': [{'index': 7, 'what': 'a'}, {'index': 1, 'what': 'b'}]}");
	(void)state;

	types(&m, "orders index 1 what A", "basket");
	types(&m, "orders index 11", "basket:orders");
	types(&m, "what c", "basket:orders");
	assert_true(mode_up(&m, true));
	types(&m, "orders index 11 what C", "basket");
	types(&m, "orders index 12 what d", "basket");
	refuses(&m, "no orders index 13", "no number 13");
	types(&m, "no orders index 7", "basket");
	ends_as(&m, "{'orders': [{'index': 1, 'what': 'b'}, {'index': 11, 'what': 'C'}, {'index': 12, 'what': 'd'}]}");
}

static void words_of_enums(void **state)
{
	struct mode m = begin("{}");
	(void)state;

	types(&m, "days one two", "basket");
	types(&m, "days index 2 thr", "basket");
	types(&m, "days index 3 two", "basket");
	refuses(&m, "days index 9 two", "no number 9");
	types(&m, "no days Day_One", "basket");
	refuses(&m, "no days one", "no item 'one'");
	/* The word alone says which field is meant; a part of it is too little. */
	types(&m, "size 2 side_left closed false", "basket");
	refuses(&m, "left", "no such field");
	refuses(&m, "no side right", "It is not 'right'");
	ends_as(&m, "{'days': ['DAY_THREE', 'DAY_TWO'], 'size': 2, 'side': 'SIDE_LEFT', 'closed': false}");
	m = begin("{'days': ['DAY_ONE'], 'side': 'SIDE_LEFT'}");
	types(&m, "no days one", "basket");
	types(&m, "no side left", "basket");
	ends_as(&m, "{}");
}

static void no_takes_back(void **state)
{
	struct mode m = begin("{'size': 4, 'closed': true, 'only': {'addrs': [{'addr': '10.0.0.1', 'type': 'V4'}]}}");
	(void)state;

	types(&m, "no size", "basket");
	types(&m, "no closed", "basket");
	types(&m, "no only addrs 10.0.0.1", "basket");
	types(&m, "no limits", "basket");
	refuses(&m, "no", "no what?");
	refuses(&m, "no size 4", "size: It is not '4'.");
	ends_as(&m, "{'closed': false, 'only': {}}");
}

static void secrets_are_asked_for(void **state)
{
	struct mode m = begin("{}");
	struct err e;
	(void)state;

	assert_int_equal(type(&m, "code", &e), -EAGAIN);
	assert_string_equal(json_str(m.asked, "name", ""), "code");
	types(&m, "code x", "basket");
	assert_true(m.secret);
	types(&m, "size 1", "basket");
	assert_false(m.secret);
	mode_close(&m);
}

static void differences(void **state)
{
	CLEANUP_JSON json_t *a = json("{'size': 1, 'eggs': [{'label': 'a'}], 'x': 'same', 'gone': 1}");
	CLEANUP_JSON json_t *b = json("{'size': 2, 'eggs': [{'label': 'a', 'boiled': true}], 'x': 'same'}");
	CLEANUP_JSON json_t *d = mode_diff(a, b);
	CLEANUP_FREE char *is = json_text(d);
	(void)state;

	assert_string_equal(is, "[{\"field\":\"size\",\"is\":\"2\",\"was\":\"1\"},{\"field\":\"gone\",\"is\":\"\",\"was\":\"1\"},"
				"{\"field\":\"eggs[1].boiled\",\"is\":\"true\",\"was\":\"\"}]");
}

/* ---- what may follow ----------------------------------------------------------------------------- */

/* Candidates with blanks between them. */
static void offers(const struct mode *m, const char *line, const char *expected)
{
	struct session s = { .mode = m ? *m : (struct mode){ 0 } };
	struct candidates c;
	struct buf b = BUF_INIT;

	candidates_of(&s, line, &c);
	for (size_t i = 0; i < c.n; i++)
		buf_printf(&b, "%s%s", i ? " " : "", c.list[i].text);
	assert_string_equal(b.len ? buf_cstr(&b) : "", expected);
	buf_fini(&b);
	candidates_fini(&c);
	candidates_forget(&s);
}

static void tab_offers_what_fits(void **state)
{
	struct mode m = begin("{'eggs': [{'label': 'a'}, {'label': 'b'}]}");
	(void)state;

	offers(&m, "s", "size side save show_schema");
	offers(&m, "side ", "SIDE_LEFT SIDE_RIGHT");
	offers(&m, "side side_l", "SIDE_LEFT");
	offers(&m, "closed t", "true");
	offers(&m, "size 4 cl", "closed");
	offers(&m, "limits ", "eggs weight");
	offers(&m, "limits weight 3 e", "eggs");
	offers(&m, "eggs ", "index a b label boiled");
	offers(&m, "eggs index ", "1 2");
	offers(&m, "eggs index 1 b", "boiled");
	offers(&m, "no eggs ", "index a b");
	offers(&m, "uu", "");
	offers(&m, "where x", "");
	offers(&m, "do sw", "switchto");
	offers(NULL, "conf", "configure");
	offers(NULL, "export ", "configuration");
	offers(NULL, "switchto t", "tenant");
	offers(NULL, "show | ", "include exclude count");
	offers(NULL, "completion ", "bash zsh");
	mode_close(&m);
}

static void the_common_beginning_is_typed(void **state)
{
	struct candidate list[] = { { (char *)"abc\xc3\xa4", NULL }, { (char *)"abc\xc3\xb6", NULL } };
	struct candidates c = { .list = list, .n = 2, .word = (char *)"a" };
	CLEANUP_FREE char *common = candidates_common(&c);
	(void)state;

	/* Not half a character. */
	assert_string_equal(common, "abc");
	c.word = (char *)"abc";
	assert_null(candidates_common(&c));
}

static void what_a_field_takes_is_said(void **state)
{
	const json_t *fields = json_object_get(json_object_get(json_object_get(model, "messages"), "Basket"), "fields");
	CLEANUP_FREE char *range = candidates_range(json_array_get(fields, 3));
	CLEANUP_FREE char *list = candidates_type(json_array_get(fields, 6));
	(void)state;

	assert_string_equal(range, "1 to 9, or 0 L");
	assert_string_equal(list, "list of string");
}

static void nothing_moves_the_cursor(void **state)
{
	CLEANUP_FREE char *s = text_harmless(xstrdup("a\x1b[2J\xc2\x9b" "b\xe2\x80\xae" "c\r\x7f\xc3\xa4"));
	(void)state;

	assert_string_equal(s, "a?[2J??b?c??\xc3\xa4");
}

static void references_read_as_names(void **state)
{
	CLEANUP_JSON json_t *v = json_string("/api/pool?name=web%20shop");
	CLEANUP_FREE char *s = text_of(v);
	(void)state;

	assert_string_equal(s, "web shop");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_two_changed_becomes_one),
		cmocka_unit_test(a_line_is_cut),
		cmocka_unit_test(what_is_quoted_is_one_word_again),
		cmocka_unit_test(fields_and_values),
		cmocka_unit_test(messages_are_levels),
		cmocka_unit_test(addresses_go_where_they_belong),
		cmocka_unit_test(items_by_number_and_key),
		cmocka_unit_test(items_with_numbers_of_their_own),
		cmocka_unit_test(words_of_enums),
		cmocka_unit_test(no_takes_back),
		cmocka_unit_test(secrets_are_asked_for),
		cmocka_unit_test(differences),
		cmocka_unit_test(tab_offers_what_fits),
		cmocka_unit_test(the_common_beginning_is_typed),
		cmocka_unit_test(what_a_field_takes_is_said),
		cmocka_unit_test(nothing_moves_the_cursor),
		cmocka_unit_test(references_read_as_names),
	};

	return cmocka_run_group_tests(tests, read_model, forget_model);
}

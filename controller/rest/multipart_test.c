#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/buf.h"
#include "controller/rest/multipart.h"

struct seen {
	struct multipart_user user;
	struct buf text; /* "name<file>[data]" of each part */
};

static int part(struct multipart_user *u, const char *name, const char *file, struct err *e)
{
	struct seen *s = CONTAINER_OF(u, struct seen, user);

	(void)e;
	buf_printf(&s->text, "%s", name);
	if (file)
		buf_printf(&s->text, "<%s>", file);
	return buf_puts(&s->text, "[");
}

static int data(struct multipart_user *u, const char *p, size_t len, struct err *e)
{
	(void)e;
	return buf_put(&CONTAINER_OF(u, struct seen, user)->text, p, len);
}

static int part_over(struct multipart_user *u, struct err *e)
{
	(void)e;
	return buf_puts(&CONTAINER_OF(u, struct seen, user)->text, "]");
}

/* BODY in pieces of STEP bytes: what was seen, or the sentence. Caller frees. */
static char *parsed(const char *type, const char *body, size_t step)
{
	struct seen s = { .user = { part, data, part_over } };
	size_t n = strlen(body);
	struct multipart m;
	struct err e = { 0 };
	int rc = multipart_init(&m, type, &s.user, &e);
	char *out;

	for (size_t at = 0; rc == 0 && at < n; at += step)
		rc = multipart_feed(&m, body + at, MIN(step, n - at), &e);
	if (rc == 0)
		rc = multipart_end(&m, &e);
	out = xstrdup(rc < 0 ? err_line(&e) : buf_cstr(&s.text));
	buf_fini(&s.text);
	return out;
}

#define TYPE  "multipart/form-data; boundary=XX"
#define PART  "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n"
#define FIELD "--XX\r\nContent-Disposition: form-data; name=\"uri\"\r\n\r\n"

static void bodies_are_taken_apart(void **state)
{
	/* clang-format off */
	static const struct { const char *type, *body, *seen; } cases[] = {
		{ TYPE, PART "hello\r\n--XX--\r\n", "file<a.bin>[hello]" },
		{ TYPE, PART "hello\r\n--XX--", "file<a.bin>[hello]" },
		{ TYPE, PART "\r\n--XX--", "file<a.bin>[]" },
		{ TYPE, PART "x\r\n" FIELD "controller://d\r\n--XX--\r\n", "file<a.bin>[x]uri[controller://d]" },
		/* Go's client writes a part behind the end. */
		{ TYPE, PART "x\r\n--XX--\r\n" FIELD "controller://d\r\n", "file<a.bin>[x]" },
		/* What looks like the boundary, and is not. */
		{ TYPE, PART "\r\n--X\r\n-\r\r\n\r\n--\r\n--XX--", "file<a.bin>[\r\n--X\r\n-\r\r\n\r\n--]" },
		{ TYPE, PART "\r\r\n--XX--", "file<a.bin>[\r]" },
		{ TYPE, PART "--XX\n--XX\r\n--XX--", "file<a.bin>[--XX\n--XX]" },
		{ "Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"",
		  "--a b\r\ncontent-disposition: form-data; name=f\r\nContent-Type: text/plain\r\n\r\n1\r\n--a b--", "f[1]" },
		{ TYPE, "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"C:\\x\\\"y\\\".txt\"\r\n\r\n\r\n--XX--",
		  "f<C:\\x\"y\".txt>[]" },
		{ TYPE, "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename*=utf-8''na%C3%AFve\r\n\r\n\r\n--XX--",
		  "f<na\xc3\xafve>[]" },

		{ "application/json", "", "The body must be multipart/form-data." },
		{ "multipart/form-data", "", "The Content-Type has no boundary" },
		{ "multipart/form-data; boundary=", "", "The Content-Type has no boundary" },
		{ "multipart/form-data; boundary=\"\"", "", "The Content-Type has no boundary" },
		{ "multipart/form-data; boundary=a; boundary=b", "", "The Content-Type has no boundary" },
		{ "multipart/form-data; boundary=0123456789012345678901234567890123456789012345678901234567890123456789x", "",
		  "The Content-Type has no boundary" },
		{ "multipart/form-data boundary=a", "", "The Content-Type has no boundary" },
		{ TYPE, "", "The body ends before its closing boundary." },
		{ TYPE, "--XX--", "The body has no parts." },
		{ TYPE, "hello" PART "x\r\n--XX--", "The body does not begin with its boundary." },
		{ TYPE, "\r\n" PART "x\r\n--XX--", "The body does not begin with its boundary." },
		{ TYPE, "\n" PART "x\r\n--XX--", "The body does not begin with its boundary." },
		{ TYPE, PART "hello", "The body ends before its closing boundary." },
		{ TYPE, PART "hello\r\n--XX-", "The body ends before its closing boundary." },
		{ TYPE, PART "hello\r\n--XXY\r\n", "The boundary is followed by something else." },
		{ TYPE, "--XX\r\n\r\nx\r\n--XX--", "A part has no Content-Disposition." },
		{ TYPE, "--XX\r\nContent-Type: x\r\n\r\n\r\n--XX--", "A part has no Content-Disposition." },
		{ TYPE, "--XX\r\nContent-Disposition: attachment; name=f\r\n\r\n\r\n--XX--", "A part is no form-data." },
		{ TYPE, "--XX\r\nContent-Disposition: form-data\r\n\r\n\r\n--XX--", "The Content-Disposition of a part" },
		{ TYPE, "--XX\r\nContent-Disposition: form-data; name=\"f\r\n\r\n\r\n--XX--", "The Content-Disposition of a part" },
		{ TYPE, "--XX\r\nContent-Disposition: form-data; name=f; name=g\r\n\r\n\r\n--XX--", "A part has two names." },
		{ TYPE, "--XX\r\nnonsense\r\n\r\n\r\n--XX--", "A line in the head of a part is no header." },
		{ TYPE, "--XX\r\nA: b\nContent-Disposition: form-data; name=f\r\n\r\n\r\n--XX--", "A line in the head of a part" },
		{ TYPE, "--XX\r\nContent-Disposition: form-data; name=f\r\nContent-Transfer-Encoding: base64\r\n\r\n\r\n--XX--",
		  "The transfer encoding of a part is unknown." },
		{ TYPE, "--XX\r\nContent-Disposition: form-data; name=f; filename*=latin1''x\r\n\r\n\r\n--XX--",
		  "The name of a file is in an unknown encoding." },
		{ TYPE, "--XX\r\nContent-Disposition: form-data; name=f; filename*=utf-8''%0\r\n\r\n\r\n--XX--",
		  "The name of a file is in an unknown encoding." },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t step = 1; step <= 64; step++) {
			CLEANUP_FREE char *seen = parsed(cases[i].type, cases[i].body, step);

			if (strncmp(seen, cases[i].seen, strlen(cases[i].seen)) != 0)
				fail_msg("%zu in pieces of %zu: \"%s\", not \"%s\"", i, step, seen,
					 cases[i].seen);
		}
	}
}

static void floods_are_refused(void **state)
{
	struct buf b = BUF_INIT;
	char *seen;

	(void)state;
	for (int i = 0; i < MULTIPART_PARTS_MAX + 1; i++)
		buf_puts(&b, FIELD "x\r\n");
	buf_puts(&b, "--XX--");
	seen = parsed(TYPE, buf_cstr(&b), 100);
	assert_string_equal(seen, "The body has more than 16 parts.");
	free(seen);
	buf_take(&b, b.len);
	buf_puts(&b, "--XX\r\nContent-Disposition: form-data; name=f\r\nX: ");
	for (int i = 0; i < MULTIPART_HEAD_MAX; i++)
		buf_puts(&b, "x");
	seen = parsed(TYPE, buf_cstr(&b), 100);
	assert_string_equal(seen, "The head of a part is longer than 4096 bytes.");
	free(seen);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_taken_apart),
		cmocka_unit_test(floods_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * unit/challenge.c - WWW-Authenticate and Content-Range, as registries write them and as they do
 * not.
 */
#include "worker/challenge.h"
#include "tests/unit/unit.h"

static void asked(void **state UNUSED)
{
	static const struct {
		const char *text, *realm, *service, *scope;
		bool good, basic, bearer;
	} rows[] = {
		{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a/b:pull\"",
			"https://a/t", "s", "repository:a/b:pull", true, false, true },
		{ "bearer  REALM=\"https://a/t\" , service=s", "https://a/t", "s", "", true, false,
			true },
		{ "Basic realm=\"Registry \\\"Realm\\\"\"", "", "", "", true, true, false },
		{ "Basic", "", "", "", true, true, false },
		{ "Basic realm=x, Bearer realm=\"y\",error=\"invalid_token\"", "y", "", "", true,
			true, true },
		{ "Negotiate, Bearer realm=y", "y", "", "", true, false, true },
		{ "Digest realm=\"a\", nonce=\"b, c\", Basic realm=d", "", "", "", true, true,
			false },
		{ "", "", "", "", false, false, false },
		{ " ,, ", "", "", "", false, false, false },
		{ "Bearer realm=\"a", "", "", "", false, false, true },
		{ "Bearer realm=", "", "", "", false, false, true },
		{ "Bearer realm=\"a\\", "", "", "", false, false, true },
		{ "Bearer realm=\"a\rb\"", "", "", "", false, false, true },
		{ "\"Bearer\"", "", "", "", false, false, false },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct challenge c = { .basic = false };
		bool good = challenge_read(rows[i].text, strlen(rows[i].text), &c);

		check_row(good == rows[i].good, "'%s'", rows[i].text);
		check_row(c.basic == rows[i].basic && c.bearer == rows[i].bearer, "'%s': schemes",
			rows[i].text);
		check_row(strcmp(c.realm, rows[i].realm) == 0, "'%s': realm '%s'", rows[i].text,
			c.realm);
		check_row(strcmp(c.service, rows[i].service) == 0, "'%s': service '%s'",
			rows[i].text, c.service);
		check_row(strcmp(c.scope, rows[i].scope) == 0, "'%s': scope '%s'", rows[i].text,
			c.scope);
	}
}

static void several(void **state UNUSED)
{
	struct challenge c = { .basic = false };
	char text[3000] = "Bearer realm=\"";

	assert_true(challenge_read("Basic realm=a", 13, &c));
	assert_true(challenge_read("Bearer realm=b", 14, &c));
	assert_true(c.basic && c.bearer);
	assert_string_equal(c.realm, "b");
	memset(text + strlen(text), 'x', 2000);
	strcat(text, "\"");
	assert_false(challenge_read(text, strlen(text), &c)); /* too long */
	assert_string_equal(c.realm, "b");
}

static void ranges(void **state UNUSED)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t from;
	} rows[] = {
		{ "bytes 0-9/10", true, 0 }, { " bytes 1234567890123-2/*", true, 1234567890123 },
		{ "Bytes 5-", true, 5 }, { "bytes */10", false, 0 }, { "bytes", false, 0 },
		{ "bytes -5/9", false, 0 }, { "items 1-2/3", false, 0 }, { "", false, 0 },
		{ "bytes 99999999999999999999-1/2", false, 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t from = 0;
		bool good = content_range_from(rows[i].text, strlen(rows[i].text), &from);

		check_row(good == rows[i].good && from == rows[i].from, "'%s'", rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(asked), cmocka_unit_test(several),
		cmocka_unit_test(ranges) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

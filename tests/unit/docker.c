/*
 * unit/docker.c - passwords in docker's and podman's files: whose registry a key is about.
 */
#include "cli/docker.h"
#include "tests/unit/unit.h"

#define A_B "\"YTpi\"" /* a:b */
#define BOTH "{\"credsStore\":\"s\",\"credHelpers\":{\"h.x\":\"k\"}}"

static struct docker_login login;
static const char *helper;

static enum err look(struct arena *a, const char *ref, const char *text)
{
	struct reference r;
	struct why why;

	assert_null(reference_read(ref, strlen(ref), &r));
	return docker_file((struct bytes){ (const uint8_t *)text, strlen(text) }, &r, a, &login,
		&helper, &why);
}

static void keys(void **state UNUSED)
{
	static const struct {
		const char *ref, *key;
		bool fits;
	} rows[] = {
		{ "debian", "https://" DOCKER_INDEX "/v1/", true },
		{ "debian", "index.docker.io", true },
		{ "debian", "docker.io", true },
		{ "debian", "registry-1.docker.io", true },
		{ "debian", "library", false },
		{ "h:5000/a", "h:5000", true },
		{ "h:5000/a", "https://h:5000/v2/", true },
		{ "h:5000/a", "http://h:5000", true },
		{ "h:5000/a", "h", false },
		{ "h:5000/a", "h:500", false },
		{ "h.x/a/b", "h.x/a", true },
		{ "h.x/a/b", "h.x/a/b", true },
		{ "h.x/a/b", "h.x/b", false },
		{ "h.x/ab", "h.x/a", false },
		{ "h.x/a", "", false },
		{ "h.x/a", "/", false },
	};
	struct arena a;

	arena_init(&a, 64 * KiB);
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[300];

		snprintf(
			text, sizeof(text), "{\"auths\":{\"%s\":{\"auth\":" A_B "}}}", rows[i].key);
		assert_int_equal(look(&a, rows[i].ref, text), OK);
		check_row((login.username != NULL) == rows[i].fits, "%s %s", rows[i].ref,
			rows[i].key);
	}
	arena_done(&a);
}

static void forms(void **state UNUSED)
{
	struct arena a;

	arena_init(&a, 64 * KiB);
	assert_int_equal(look(&a, "h.x/a/b",
				 "{\"auths\":{\"h.x\":{\"auth\":" A_B "},"
				 "\"h.x/a\":{\"username\":\"u\",\"password\":\"p\"}}}"),
		OK);
	assert_string_equal(login.username, "u"); /* the longer key */
	assert_string_equal(login.password, "p");
	assert_int_equal(look(&a, "h.x/c", "{\"auths\":{\"h.x\":{\"auth\":" A_B "}}}"), OK);
	assert_string_equal(login.username, "a");
	assert_string_equal(login.password, "b");
	assert_int_equal(
		look(&a, "h.x/c",
			"{\"auths\":{\"h.x\":{\"auth\":" A_B ",\"identitytoken\":\"t\"}}}"),
		OK);
	assert_string_equal(login.token, "t");
	assert_int_equal(look(&a, "h.x/c", BOTH), OK);
	assert_string_equal(helper, "k");
	assert_int_equal(look(&a, "h.y/c", BOTH), OK);
	assert_string_equal(helper, "s");
	assert_int_equal(look(&a, "h.x/c", "{\"credsStore\":\"../s\"}"), ERR_invalid_value);
	assert_int_equal(look(&a, "h.x/c", "{\"auths\":{\"h.x\":{\"auth\":\"YWI=\"}}}"),
		ERR_invalid_value); /* no colon */
	assert_int_equal(
		look(&a, "h.x/c", "{\"auths\":{\"h.x\":{\"auth\":\"?\"}}}"), ERR_invalid_value);
	assert_int_equal(look(&a, "h.x/c", "[]"), ERR_invalid_value);
	assert_int_equal(look(&a, "h.x/c", "{\"auths\":7}"), OK);
	assert_null(login.username);
	arena_done(&a);
}

static void helpers(void **state UNUSED)
{
	static const char good[] = "{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"p\"}";
	static const char token[] = "{\"Username\":\"<token>\",\"Secret\":\"t\"}";
	struct arena a;
	struct why why;

	arena_init(&a, 64 * KiB);
#define HELPED(text) \
	docker_helped((struct bytes){ (const uint8_t *)(text), sizeof(text) - 1 }, &a, &login, &why)
	assert_int_equal(HELPED(good), OK);
	assert_string_equal(login.username, "u");
	assert_string_equal(login.password, "p");
	assert_int_equal(HELPED(token), OK);
	assert_string_equal(login.token, "t");
	assert_null(login.username);
	assert_int_equal(HELPED("{\"Username\":\"u\"}"), ERR_invalid_value);
	assert_int_equal(HELPED("not found"), ERR_invalid_value);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(keys), cmocka_unit_test(forms),
		cmocka_unit_test(helpers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

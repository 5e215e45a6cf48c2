/*
 * unit/reference.c - references as docker reads them.
 */
#include "proto/reference.h"
#include "tests/unit/unit.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void whole(void **state UNUSED)
{
	static const struct {
		const char *text, *is;
	} rows[] = {
		{ "debian", "docker.io/library/debian:latest" },
		{ "debian:12", "docker.io/library/debian:12" },
		{ "team/app", "docker.io/team/app:latest" },
		{ "docker.io/debian", "docker.io/library/debian:latest" },
		{ "index.docker.io/a/b:c", "docker.io/a/b:c" },
		{ "docker.io/library/debian:12", "docker.io/library/debian:12" },
		{ "localhost/a", "localhost/a:latest" },
		{ "localhost:5000/a/b/c:T", "localhost:5000/a/b/c:T" },
		{ "local/a", "docker.io/local/a:latest" },
		{ "host:5000/a@sha256:" HEX, "host:5000/a@sha256:" HEX },
		{ "h.x/a:t@sha256:" HEX, "h.x/a:t@sha256:" HEX },
		{ "[::1]:5000/a", "[::1]:5000/a:latest" },
		{ "Host/a", "Host/a:latest" },
		{ "x/a-b.c_d__e---f/g", "docker.io/x/a-b.c_d__e---f/g:latest" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[REFERENCE_BYTES];
		struct reference r;
		const char *wrong = reference_read(rows[i].text, strlen(rows[i].text), &r);

		check_row(!wrong, "'%s': %s", rows[i].text, wrong ? wrong : "");
		if (wrong)
			continue;
		reference_text(&r, text);
		check_row(strcmp(text, rows[i].is) == 0, "'%s': %s", rows[i].text, text);
		/* what is whole stays as it is */
		check_row(!reference_read(text, strlen(text), &r), "'%s' again", text);
	}
}

static void refused(void **state UNUSED)
{
	static const char *const rows[] = { "", ":", "@", "a:", ":a", "a@", "@sha256:" HEX, "/",
		"a/", "/a", "a//b", "A", "a/B", "a..b", "a_-b", "a___b", "a.", ".a", "-a", "a-",
		"../a", "a/../b", "h.x/", "h.x:0/a", "h.x:65536/a", "h.x:x/a", "-h.x/a", "h-.x/a",
		"h..x/a", "[::1/a", "[x]/a", "a:.t", "a:-t", "a:t/u", "a:t:u", "a@sha256:0",
		"a@sha512:" HEX, "a@sha256:" HEX "0", "a@sha256:" HEX "@sha256:" HEX, HEX, "a b",
		"a\n", "\xc3\xa4" };
	char text[400];
	struct reference r;

	for (size_t i = 0; i < COUNT(rows); i++)
		check_row(reference_read(rows[i], strlen(rows[i]), &r) != NULL, "'%s'", rows[i]);
	assert_non_null(reference_read("a\0b", 3, &r));
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_non_null(reference_read(text, strlen(text), &r)); /* name too long */
	text[1] = ':';
	text[2 + 128] = '\0';
	assert_null(reference_read(text, strlen(text), &r));
	text[2 + 128] = 'a';
	text[3 + 128] = '\0';
	assert_non_null(reference_read(text, strlen(text), &r)); /* tag too long */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(whole), cmocka_unit_test(refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * unit/services.c - how images name required services, and the marks of a home that lies too deep.
 */
#include "tests/unit/unit.h"

#include "base/home.h"
#include "proto/check.h"
#include "worker/manifest.h"

static void one(void **state UNUSED)
{
	static const struct {
		const char *text, *name;
		uint16_t port;
	} rows[] = {
		{ "sshd:22", "sshd", 22 }, { "a:1", "a", 1 }, { "0.b_c-d:65535", "0.b_c-d", 65535 },
		{ "abcdefghijklmnopqrstuvwxyz012345:80", "abcdefghijklmnopqrstuvwxyz012345", 80 },
		{ "abcdefghijklmnopqrstuvwxyz0123456:80", NULL, 0 }, /* one too long */
		{ "", NULL, 0 }, { ":22", NULL, 0 }, { "sshd", NULL, 0 }, { "sshd:", NULL, 0 },
		{ "sshd:0", NULL, 0 }, { "sshd:65536", NULL, 0 }, { "sshd:22x", NULL, 0 },
		{ "sshd: 22", NULL, 0 }, { "SSHD:22", NULL, 0 }, { "-a:22", NULL, 0 },
		{ "a b:22", NULL, 0 }, { "a/b:22", NULL, 0 }, { "a:22:23", NULL, 0 },
		{ "sshd:0x16", NULL, 0 }, { "sshd:99999999999", NULL, 0 }, { "sshd:+22", NULL, 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char name[SERVICE_NAME_MAX + 1] = "";
		uint16_t port = 0;
		const char *s = rows[i].text;
		bool is = parse_service(s, strlen(s), name, &port);

		check_row(is == (rows[i].name != NULL), "'%s'", s);
		check_row(!is || (str_eq(name, rows[i].name) && port == rows[i].port), "'%s'", s);
		check_row(is == (check_service(s, strlen(s)) == NULL), "'%s'", s);
	}
}

/* What the label leads to, with a space behind each; "-" when it is refused. */
static const char *label(const char *text, struct arena *a, enum err *ret)
{
	struct image_config c = { .workdir = NULL };
	own_buf out = { .max = 4096 };
	struct why why;

	*ret = manifest_services(text, a, &c, &why);
	if (*ret) {
		assert_string_equal(why.text[0] ? "said" : "mute", "said");
		return "-";
	}
	for (uint32_t i = 0; i < c.services.n; i++)
		buf_fmt(&out, "%s ", c.services.v[i]);
	return arena_str(a, buf_cstr(&out));
}

static void labels(void **state UNUSED)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "" }, { " , ,", "" }, { "sshd:22", "sshd:22 " },
		{ "sshd:22,opencode:4096", "sshd:22 opencode:4096 " },
		{ " sshd:22 ,\t", "-" }, /* a tab is no space */
		{ " sshd:22 , opencode:4096, ", "sshd:22 opencode:4096 " },
		{ "sshd:22,Bad:1", "-" }, { "sshd", "-" }, { "sshd:22;x:1", "-" },
	};
	struct arena a = { .max = MiB };
	char many[17 * 5 + 1] = "";
	enum err e;

	for (size_t i = 0; i < COUNT(rows); i++)
		check_row(str_eq(label(rows[i].text, &a, &e), rows[i].want), "'%s'", rows[i].text);
	(void)label("sshd:22,x", &a, &e);
	assert_int_equal(e, ERR_invalid_value);
	for (int i = 0; i < 16; i++)
		strcat(many, "a:80,");
	assert_int_equal(strlen(label(many, &a, &e)), 16 * 5);
	strcat(many, "a:80,");
	(void)label(many, &a, &e);
	assert_int_equal(e, ERR_too_large);
	arena_done(&a);
}

static void configs(void **state UNUSED)
{
	static const char *const bad[] = {
		"{\"config\":{\"Labels\":{\"banger.services\":\"x\"}}}",
		"{\"config\":{\"Labels\":{\"banger.services\":\"a:1,,b\"}}}",
	};
	static const char *const none[] = {
		"{\"config\":{\"Labels\":null}}", "{\"config\":{\"Labels\":[]}}",
		"{\"config\":{\"Labels\":{\"banger.services\":5}}}", "{\"config\":{}}",
		"{\"config\":{\"Labels\":{\"other\":\"a:1\"}}}",
	};
	static const char good[] = "{\"config\":{\"Labels\":{\"banger.services\":\"a:1, b:2\"}}}";
	struct arena a = { .max = MiB };
	struct manifest_config c;
	struct why why;

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct bytes json = { (const uint8_t *)bad[i], strlen(bad[i]) };

		assert_int_equal(manifest_config(json, "amd64", &a, &c, &why), ERR_invalid_value);
		assert_string_equal(why.field, "banger.services");
	}
	for (size_t i = 0; i < COUNT(none); i++) {
		struct bytes json = { (const uint8_t *)none[i], strlen(none[i]) };

		assert_int_equal(manifest_config(json, "amd64", &a, &c, &why), OK);
		assert_int_equal(c.run.services.n, 0);
	}
	assert_int_equal(manifest_config(BYTES(good), "amd64", &a, &c, &why), OK);
	assert_int_equal(c.run.services.n, 2);
	assert_string_equal(c.run.services.v[1], "b:2");
	arena_done(&a);
}

static void nested_homes(void **state UNUSED)
{
	assert_string_equal(nested_path("/root"), "root");
	assert_string_equal(nested_path("/srv/app"), "srv/app");
	assert_string_equal(nested_path("/"), "");
	assert_true(nested_beside("srv", "srv/app"));
	assert_true(nested_beside("lost+found", "root"));
	assert_true(nested_beside(".ssh", "root"));
	assert_false(nested_beside("sr", "srv/app"));
	assert_false(nested_beside("srv2", "srv/app"));
	assert_false(nested_beside(".profile", "root"));
	assert_true(nested_mark(".bashrc"));
	assert_false(nested_mark("bashrc"));
	assert_false(nested_mark(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(one), TEST(labels), TEST(configs),
		TEST(nested_homes) };

	return RUN(tests);
}

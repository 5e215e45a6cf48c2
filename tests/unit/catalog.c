/*
 * unit/catalog.c - catalogs: what goes over what, and what is refused at which place.
 */
#include "tests/unit/unit.h"

#include "actors/shared/catalog.h"
#include "conf/catalog.h"

#define SUM "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static enum err load(struct conf_catalog *c, const char *text, enum arch arch, struct why *why)
{
	struct bytes b = { (const uint8_t *)text, strlen(text) };

	return catalog_read(c, "c.yaml", b, arch, why);
}

static void built_in(void **state UNUSED)
{
	struct conf_catalog c;
	struct why why;

	for (int arch = 0; arch < arch_COUNT; arch++) {
		assert_int_equal(load(&c, "", (enum arch)arch, &why), OK);
		assert_non_null(catalog_image_of(&c.v, "debian"));
		assert_int_equal(c.v.kernels.n, 1);
		assert_string_equal(catalog_kernel_of(&c.v, "debian")->package,
			arch == arch_arm64 ? "linux-image-cloud-arm64" : "linux-image-cloud-amd64");
		assert_null(catalog_image_of(&c.v, "Debian"));
		assert_string_equal(catalog_image_near(&c.v, "debain"), "debian");
		assert_null(catalog_image_near(&c.v, "something-else"));
		catalog_done(&c);
	}
}

static void the_users_wins(void **state UNUSED)
{
	static const char text[] = "images:\n"
				   "  - name: debian\n"
				   "    bundle: https://images.example/d.tar.zst\n"
				   "    sha256: " SUM "\n"
				   "  - name: mine\n"
				   "    reference: localhost:5000/mine:1\n"
				   "  - {name: far, arch: arm64, reference: far}\n"
				   "kernels:\n"
				   "  - {name: debian, arch: arm64, package: other}\n";
	struct conf_catalog c;
	struct why why;

	assert_int_equal(load(&c, text, arch_amd64, &why), OK);
	assert_null(catalog_image_of(&c.v, "debian")->reference);
	assert_string_equal(catalog_image_of(&c.v, "debian")->sha256, SUM);
	assert_non_null(catalog_image_of(&c.v, "mine"));
	assert_non_null(catalog_image_of(&c.v, "alpine"));
	assert_null(catalog_image_of(&c.v, "far"));
	catalog_done(&c);
	assert_int_equal(load(&c, text, arch_arm64, &why), OK);
	assert_non_null(catalog_image_of(&c.v, "far"));
	assert_string_equal(catalog_kernel_of(&c.v, "debian")->package, "other");
	assert_int_equal(c.v.kernels.n, 1);
	catalog_done(&c);
	assert_int_equal(load(&c, "built_in: false\n", arch_amd64, &why), OK);
	assert_int_equal(c.v.images.n + c.v.kernels.n, 0);
	catalog_done(&c);
}

static void refused(void **state UNUSED)
{
	static const struct {
		const char *text, *place, *field, *hint;
	} rows[] = {
		{ "image:\n", ":1:1: ", "image", "images" },
		{ "images: debian\n", ":1:9: ", "images", "" },
		{ "images:\n  - reference: a\n", ":2:5: ", "name", "" },
		{ "images:\n  - name: a\n    referense: a\n", ":3:5: ", "referense", "reference" },
		{ "images:\n  - name: a\n", ":2:5: ", "reference", "" },
		{ "images:\n  - name: a b\n    reference: a\n", ":2:11: ", "name", "" },
		{ "images:\n  - {name: a, reference: a, bundle: 'https://a/b', sha256: " SUM "}\n",
			":2:5: ", "bundle", "" },
		{ "images:\n  - name: a\n    bundle: https://a/b\n", ":2:5: ", "sha256", "" },
		{ "images:\n  - {name: a, reference: a, sha256: " SUM "}\n", ":2:5: ", "sha256",
			"" },
		{ "images:\n  - name: a\n    bundle: http://a/b\n", ":3:13: ", "bundle", "" },
		{ "images:\n  - name: a\n    bundle: https://u:p@a/b\n", ":3:13: ", "bundle", "" },
		{ "images:\n  - name: a\n    bundle: https:///b\n", ":3:13: ", "bundle", "" },
		{ "images:\n  - name: a\n    bundle: https://a\n", ":3:13: ", "bundle", "" },
		{ "images:\n  - name: a\n    bundle: file:///a\n", ":3:13: ", "bundle", "" },
		{ "images:\n  - name: a\n    bundle: 'https://a/b c'\n", ":3:13: ", "bundle", "" },
		{ "images:\n  - {name: a, bundle: 'https://a/b', sha256: 'sha256:00'}\n",
			":2:46: ", "sha256", "" },
		{ "images:\n  - {name: a, reference: a}\n  - {name: a, reference: b}\n",
			":3:5: ", "name", "" },
		{ "images:\n  - {name: a, arch: arm64, reference: a}\n"
		  "  - {name: a, reference: b}\n",
			":3:5: ", "name", "" },
		{ "images:\n  - {name: a, arch: amd46, reference: a}\n", ":2:21: ", "arch",
			"amd64" },
		{ "kernels:\n  - name: a\n", ":2:5: ", "package", "" },
		{ "kernels:\n  - {name: a, package: p}\n  - {name: a, package: p}\n",
			":3:5: ", "name", "" },
		{ "built_in: no\n", ":1:11: ", "built_in", "" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct conf_catalog c;
		struct why why = { .code = OK };
		enum err e = load(&c, rows[i].text, arch_amd64, &why);

		check_row(e && strncmp(why.text, "c.yaml", 6) == 0 &&
				  strncmp(why.text + 6, rows[i].place, strlen(rows[i].place)) == 0,
			"%s: %s", rows[i].text, why.text);
		check_row(str_eq(why.field, rows[i].field), "%s: %s", rows[i].text, why.field);
		check_row(strstr(why.hint, rows[i].hint), "%s: %s", rows[i].text, why.hint);
		catalog_done(&c);
	}
}

static void ceilings(void **state UNUSED)
{
	own_buf text = { .max = MiB };
	struct conf_catalog c;
	struct why why;

	buf_fmt(&text, "images:\n");
	for (int i = 0; i < 256; i++)
		buf_fmt(&text, "  - {name: i%d, reference: a}\n", i);
	assert_int_equal(load(&c, buf_cstr(&text), arch_amd64, &why), OK);
	assert_true(c.v.images.n > 256);
	catalog_done(&c);
	buf_fmt(&text, "  - {name: more, reference: a}\n");
	assert_int_equal(load(&c, buf_cstr(&text), arch_amd64, &why), ERR_invalid_type);
	assert_non_null(strstr(why.text, ":258:"));
	catalog_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(built_in), TEST(the_users_wins), TEST(refused),
		TEST(ceilings) };

	return RUN(tests);
}

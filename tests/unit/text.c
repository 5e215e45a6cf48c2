/*
 * unit/text.c - parsers and printers of base/text.h, row by row.
 */
#include "tests/unit/unit.h"

#include "base/text.h"

#define REFUSED UINT64_MAX

typedef enum err parser(const char *s, uint64_t *ret, struct why *why);

struct number_row {
	const char *in;
	uint64_t want; /* REFUSED, or the value */
};

static void check_parser(parser *parse, const struct number_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t got = 4711;
		struct why why;
		enum err e = parse(rows[i].in, &got, &why);

		if (rows[i].want == REFUSED) {
			check_row(e == ERR_invalid_value, "'%s'", rows[i].in);
			check_row(why.code == e && why.text[0], "'%s'", rows[i].in);
			check_row(got == 4711, "'%s' touched its result", rows[i].in);
		} else {
			check_row(e == OK && got == rows[i].want, "'%s' gave %llu", rows[i].in,
				(unsigned long long)got);
		}
	}
}

static void whole_numbers(void **state UNUSED)
{
	static const struct number_row rows[] = { { "0", 0 }, { "7", 7 },
		{ "1234567890", 1234567890 }, { "18446744073709551614", UINT64_MAX - 1 },
		{ "18446744073709551616", REFUSED }, { "99999999999999999999999", REFUSED },
		{ "", REFUSED }, { "00", REFUSED }, { "01", REFUSED }, { "+1", REFUSED },
		{ "-1", REFUSED }, { " 1", REFUSED }, { "1 ", REFUSED }, { "1a", REFUSED },
		{ "0x1", REFUSED }, { "1e3", REFUSED } };
	uint64_t v;

	check_parser(parse_u64, rows, COUNT(rows));
	assert_int_equal(parse_u64("18446744073709551615", &v, NULL), OK);
	assert_true(v == UINT64_MAX);
}

static void sizes(void **state UNUSED)
{
	static const struct number_row rows[] = { { "0", 0 }, { "512", 512 }, { "512B", 512 },
		{ "1K", 1024 }, { "1k", 1024 }, { "1KB", 1024 }, { "1KiB", 1024 },
		{ "2G", 2 * GiB }, { "2GiB", 2 * GiB }, { "1.5G", 1536 * MiB }, { "0.5K", 512 },
		{ "1.25M", 1310720 }, { "3T", 3072 * GiB },
		{ "16777215T", 16777215 * (1024 * GiB) }, { "16777216T", REFUSED },
		{ "99999999999999999999", REFUSED }, { "", REFUSED }, { "K", REFUSED },
		{ "1.5", REFUSED }, { "1.5B", REFUSED }, { "1.G", REFUSED }, { ".5G", REFUSED },
		{ "1.2345G", REFUSED }, { "1 G", REFUSED }, { "1GG", REFUSED }, { "1BiB", REFUSED },
		{ "1KM", REFUSED }, { "1Ki", REFUSED }, { "-1G", REFUSED }, { "1P", REFUSED },
		{ "1G ", REFUSED } };

	check_parser(parse_size, rows, COUNT(rows));
}

static void durations(void **state UNUSED)
{
	static const struct number_row rows[] = { { "0", 0 }, { "30", 30000 }, { "250ms", 250 },
		{ "30s", 30000 }, { "5m", 300000 }, { "2h", 7200000 }, { "1d", 86400000 },
		{ "1h30m", 5400000 }, { "1m5s10ms", 65010 }, { "0s", 0 }, { "0s5s", 5000 },
		{ "0s5", REFUSED }, { "1h30", REFUSED }, { "", REFUSED }, { "s", REFUSED },
		{ "1.5s", REFUSED }, { "-1s", REFUSED }, { "1 s", REFUSED }, { "1S", REFUSED },
		{ "1w", REFUSED }, { "18446744073709551615", REFUSED },
		{ "18446744073709551615d", REFUSED }, { "18446744073709551ms18446744073709551s",
			REFUSED } };

	check_parser(parse_duration, rows, COUNT(rows));
}

static void utf8(void **state UNUSED)
{
	static const struct {
		struct bytes in;
		size_t len;
		uint32_t cp;
	} rows[] = {
		{ { (const uint8_t *)"\0", 1 }, 1, 0 },
		{ { (const uint8_t *)"a", 1 }, 1, 'a' },
		{ { (const uint8_t *)"\x7f", 1 }, 1, 0x7f },
		{ { (const uint8_t *)"\xc2\x80", 2 }, 2, 0x80 },
		{ { (const uint8_t *)"\xdf\xbf", 2 }, 2, 0x7ff },
		{ { (const uint8_t *)"\xe0\xa0\x80", 3 }, 3, 0x800 },
		{ { (const uint8_t *)"\xed\x9f\xbf", 3 }, 3, 0xd7ff },
		{ { (const uint8_t *)"\xee\x80\x80", 3 }, 3, 0xe000 },
		{ { (const uint8_t *)"\xef\xbf\xbf", 3 }, 3, 0xffff },
		{ { (const uint8_t *)"\xf0\x90\x80\x80", 4 }, 4, 0x10000 },
		{ { (const uint8_t *)"\xf4\x8f\xbf\xbf", 4 }, 4, 0x10ffff },
		/* overlong, surrogates, beyond the end, lone and missing continuations */
		{ { (const uint8_t *)"\xc0\x80", 2 }, 0, 0 },
		{ { (const uint8_t *)"\xc1\xbf", 2 }, 0, 0 },
		{ { (const uint8_t *)"\xe0\x9f\xbf", 3 }, 0, 0 },
		{ { (const uint8_t *)"\xf0\x8f\xbf\xbf", 4 }, 0, 0 },
		{ { (const uint8_t *)"\xed\xa0\x80", 3 }, 0, 0 },
		{ { (const uint8_t *)"\xed\xbf\xbf", 3 }, 0, 0 },
		{ { (const uint8_t *)"\xf4\x90\x80\x80", 4 }, 0, 0 },
		{ { (const uint8_t *)"\xf5\x80\x80\x80", 4 }, 0, 0 },
		{ { (const uint8_t *)"\xff", 1 }, 0, 0 },
		{ { (const uint8_t *)"\x80", 1 }, 0, 0 },
		{ { (const uint8_t *)"\xc3", 1 }, 0, 0 },
		{ { (const uint8_t *)"\xe2\x82", 2 }, 0, 0 },
		{ { (const uint8_t *)"\xc3\x28", 2 }, 0, 0 },
		{ { (const uint8_t *)"\xe2\x28\xa1", 3 }, 0, 0 },
		{ { (const uint8_t *)"", 0 }, 0, 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint32_t cp = 0;
		size_t len = utf8_next(rows[i].in.p, rows[i].in.n, &cp);

		check_row(len == rows[i].len, "row %zu: %zu", i, len);
		check_row(len == 0 || cp == rows[i].cp, "row %zu: U+%04x", i, cp);
		check_row(utf8_valid(rows[i].in.p, rows[i].in.n) ==
				((len > 0 && cp != 0) || rows[i].in.n == 0), "row %zu", i);
	}
	assert_true(utf8_valid("aä€𝄞", strlen("aä€𝄞")));
	assert_false(utf8_valid("a\0b", 3));
	assert_true(utf8_valid(NULL, 0));
}

/* Every code point is taken at its own length and no other. */
static void utf8_every_code_point(void **state UNUSED)
{
	for (uint32_t cp = 1; cp < 0x110000; cp++) {
		size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
		static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
		bool good = cp < 0xd800 || cp > 0xdfff;
		uint32_t got = 0, rest = cp;
		uint8_t s[4];

		for (size_t i = n; i-- > 1; rest >>= 6)
			s[i] = (uint8_t)(0x80 | (rest & 0x3f));
		s[0] = (uint8_t)(lead[n] | rest);
		check_row(utf8_next(s, n, &got) == (good ? n : 0), "U+%04x", cp);
		check_row(!good || got == cp, "U+%04x", cp);
		check_row(n == 1 || utf8_next(s, n - 1, &got) == 0, "U+%04x cut", cp);
	}
}

static void near_words(void **state UNUSED)
{
	static const char *const list[] = { "image", "vcpus", "memory", "disk", "net" };
	static const struct {
		const char *word, *want;
	} rows[] = { { "image", "image" }, { "imag", "image" }, { "imgae", "image" },
		{ "vcpu", "vcpus" }, { "cpus", "vcpus" }, { "memroy", "memory" },
		{ "disc", "disk" }, { "nt", "net" }, { "zzz", NULL }, { "imaginary", NULL },
		{ "a-word-that-is-longer-than-forty-characters-is", NULL } };

	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *got = nearest(rows[i].word, list, COUNT(list));

		check_row(got == rows[i].want || (got && rows[i].want && str_eq(got, rows[i].want)),
			"'%s' gave '%s'", rows[i].word, got ? got : "nothing");
	}
	assert_null(nearest("image", list, 0));
}

static void hex_and_base64(void **state UNUSED)
{
	static const struct {
		const char *in, *hex, *base64;
	} rows[] = { { "", "", "" }, { "f", "66", "Zg==" }, { "fo", "666f", "Zm8=" },
		{ "foo", "666f6f", "Zm9v" }, { "foob", "666f6f62", "Zm9vYg==" },
		{ "fooba", "666f6f6261", "Zm9vYmE=" }, { "foobar", "666f6f626172", "Zm9vYmFy" },
		{ "\xff\xfe\xfb", "fffefb", "//77" } };
	char out[32];

	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t n = strlen(rows[i].in), want = strlen(rows[i].base64);

		hex_of(out, rows[i].in, n);
		check_row(str_eq(out, rows[i].hex), "%s", out);
		check_row(base64_of(out, want + 1, rows[i].in, n) == want, "row %zu", i);
		check_row(str_eq(out, rows[i].base64), "%s", out);
		check_row(base64_of(out, want, rows[i].in, n) == 0, "row %zu: no room", i);
	}
}

static void shown_for_people(void **state UNUSED)
{
	static const struct {
		void (*show)(char *, size_t, uint64_t);
		uint64_t in;
		const char *want;
	} rows[] = { { show_size, 0, "0 B" }, { show_size, 1023, "1023 B" },
		{ show_size, 1024, "1.0 KiB" }, { show_size, 1536 * MiB, "1.5 GiB" },
		{ show_size, 150 * MiB, "150 MiB" }, { show_size, UINT64_MAX, "16777216 TiB" },
		{ show_duration, 0, "0 ms" }, { show_duration, 999, "999 ms" },
		{ show_duration, 3250, "3.2 s" }, { show_duration, 65000, "1m05s" },
		{ show_duration, 3661000, "1h01m" }, { show_duration, 90000000, "1d01h" },
		{ show_time, 0, "1970-01-01T00:00:00.000Z" },
		{ show_time, 1700000000123, "2023-11-14T22:13:20.123Z" },
		{ show_time, 253402300799999, "9999-12-31T23:59:59.999Z" } };
	char out[40];

	for (size_t i = 0; i < COUNT(rows); i++) {
		rows[i].show(out, sizeof(out), rows[i].in);
		check_row(str_eq(out, rows[i].want), "wanted %s, got %s", rows[i].want, out);
	}
	show_time(out, 32, UINT64_MAX);
	show_duration(out, 16, UINT64_MAX);
	assert_true(strlen(out) < 16);
}

static void copies_and_labels(void **state UNUSED)
{
	char out[4], longest[65];

	assert_true(str_copy(out, sizeof(out), "abc"));
	assert_string_equal(out, "abc");
	assert_false(str_copy(out, sizeof(out), "abcd"));
	assert_string_equal(out, "abc");
	assert_false(str_copy(out, 1, "a"));
	assert_string_equal(out, "");
	memset(longest, 'a', 64);
	assert_true(is_label(longest, 63));
	assert_false(is_label(longest, 64));
	assert_true(is_label("a-0", 3));
	assert_false(is_label("", 0));
	assert_false(is_label("-a", 2));
	assert_false(is_label("a-", 2));
	assert_false(is_label("A", 1));
	assert_false(is_label("a.b", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(whole_numbers), TEST(sizes), TEST(durations),
		TEST(utf8), TEST(utf8_every_code_point), TEST(near_words), TEST(hex_and_base64),
		TEST(shown_for_people), TEST(copies_and_labels) };

	return RUN(tests);
}

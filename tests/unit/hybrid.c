/*
 * unit/hybrid.c - the two lines before a stream to a guest's vsock port.
 */
#include "tests/unit/unit.h"

#include "vmm/hybrid.h"

static void asking(void **state UNUSED)
{
	char line[HYBRID_LINE_MAX];

	assert_int_equal(hybrid_ask(line, 1024), 13);
	assert_string_equal(line, "CONNECT 1024\n");
	assert_true(hybrid_ask(line, UINT32_MAX) < HYBRID_LINE_MAX);
}

static const struct {
	const char *bytes;
	enum hybrid_said said;
	size_t used;
} rows[] = {
	{ "OK 1073741824\n", HYBRID_OPEN, 14 },
	{ "OK 1\npayload", HYBRID_OPEN, 5 },
	{ "OK 12", HYBRID_MORE, 5 },
	{ "", HYBRID_MORE, 0 },
	{ "OK \n", HYBRID_BAD, 4 },
	{ "OK 12x\n", HYBRID_BAD, 7 },
	{ "OK -1\n", HYBRID_BAD, 6 },
	{ "\n", HYBRID_BAD, 1 },
	{ "NO 1\n", HYBRID_BAD, 5 },
	{ "OK 11111111111111111111111111111", HYBRID_MORE, 32 },
	{ "OK 111111111111111111111111111111\n", HYBRID_BAD, 32 },
};

static void lines(void **state UNUSED)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct hybrid_line l = { .n = 0 };
		enum hybrid_said said;
		size_t used = hybrid_take(
			&l, (const uint8_t *)rows[i].bytes, strlen(rows[i].bytes), &said);

		check_row(said == rows[i].said && used == rows[i].used, "%s: %d, %zu",
			rows[i].bytes, said, used);
	}
}

/* However it comes, the answer is the same, and no byte of what follows is taken. */
static void in_pieces(void **state UNUSED)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		const uint8_t *p = (const uint8_t *)rows[i].bytes;
		struct hybrid_line l = { .n = 0 };
		enum hybrid_said said = HYBRID_MORE;
		size_t used = 0, n = strlen(rows[i].bytes);

		while (said == HYBRID_MORE && used < n)
			used += hybrid_take(&l, p + used, 1, &said);
		check_row(said == rows[i].said && used == rows[i].used, "%s", rows[i].bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(asking), TEST(lines), TEST(in_pieces) };

	return RUN(tests);
}

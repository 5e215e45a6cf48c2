/*
 * unit/err.c - error words, errno's words, and what a struct why may hold.
 */
#include "tests/unit/unit.h"

#include "base/text.h"

static void words_round_trip(void **state UNUSED)
{
	for (int i = 1; i < ERR_malformed; i++) {
		const char *word = err_name((enum err)i);

		check_row(err_by_name(word) == (enum err)i, "%s", word);
		check_row(err_doc((enum err)i)[0] != '\0', "%s", word);
		check_row(strlen(word) <= 24, "%s", word);
		check_row(strspn(word, "abcdefghijklmnopqrstuvwxyz_") == strlen(word), "%s", word);
		for (int j = 1; j < i; j++)
			check_row(!str_eq(word, err_name((enum err)j)), "%s twice", word);
	}
	assert_string_equal(err_name(OK), "ok");
}

/* Row A6: these may never be renamed. */
static void contract_words_exist(void **state UNUSED)
{
	static const char *const words[] = { "unknown_method", "unknown_field", "missing_field",
		"invalid_type", "invalid_value", "too_large", "not_found", "exists", "conflict",
		"busy", "denied", "not_owned", "unavailable", "unsupported", "timeout", "cancelled",
		"no_space", "no_memory", "vmm_failed", "guest_failed", "version_mismatch",
		"internal" };

	for (size_t i = 0; i < COUNT(words); i++)
		check_row(str_eq(err_name(err_by_name(words[i])), words[i]), "%s", words[i]);
}

static void unknown_words_are_internal(void **state UNUSED)
{
	static const char *const words[] = { "", "ok", "OK", "malformed", "busy ", "Busy", "nope" };

	for (size_t i = 0; i < COUNT(words); i++)
		check_row(err_by_name(words[i]) == ERR_internal, "'%s'", words[i]);
}

static void errno_words(void **state UNUSED)
{
	static const struct {
		int e;
		enum err want;
	} rows[] = { { ENOENT, ERR_not_found }, { EEXIST, ERR_exists }, { EACCES, ERR_denied },
		{ ENOSPC, ERR_no_space }, { EDQUOT, ERR_no_space }, { EMFILE, ERR_no_memory },
		{ ETIMEDOUT, ERR_timeout }, { EBUSY, ERR_busy }, { ELOOP, ERR_invalid_value },
		{ ENOSYS, ERR_unsupported }, { EPIPE, ERR_unavailable }, { EIO, ERR_internal } };

	for (size_t i = 0; i < COUNT(rows); i++)
		check_row(err_from_errno(rows[i].e) == rows[i].want, "%s", strerror(rows[i].e));
}

static void fail_fills_why(void **state UNUSED)
{
	struct why why;

	memset(&why, 0xaa, sizeof(why));
	assert_int_equal(fail(&why, ERR_busy, "%d of %d", 3, 3), ERR_busy);
	assert_int_equal(why.code, ERR_busy);
	assert_string_equal(why.text, "3 of 3");
	assert_string_equal(why.field, "");
	assert_string_equal(why.hint, "");
	assert_int_equal(fail_hint(&why, "wait %s", "here"), ERR_busy);
	assert_string_equal(why.hint, "wait here");
	assert_int_equal(fail_field(&why, ERR_exists, "name", "taken"), ERR_exists);
	assert_string_equal(why.field, "name");
	assert_string_equal(why.hint, "");
	errno = ENOENT;
	assert_int_equal(fail_errno(&why, "opening %s", "x"), ERR_not_found);
	assert_string_equal(why.text, "opening x: No such file or directory");
	assert_int_equal(fail(NULL, ERR_busy, "x"), ERR_busy);
	assert_int_equal(fail_hint(NULL, "x"), ERR_internal);
}

/* Long text is cut, and neither the cut nor foreign bytes leave anything that is no UTF-8. */
static void why_is_utf8(void **state UNUSED)
{
	char longer[1200];
	struct why why;

	for (size_t shift = 0; shift < 4; shift++) {
		size_t n = 0;

		for (; n < shift; n++)
			longer[n] = 'x';
		for (; n + 5 < sizeof(longer); n += 4)
			memcpy(longer + n, "𝄞", 4);
		longer[n] = '\0';
		fail_field(&why, ERR_exists, longer, "%s", longer);
		fail_hint(&why, "%s", longer);
		assert_true(utf8_valid(why.text, strlen(why.text)));
		assert_true(utf8_valid(why.field, strlen(why.field)));
		assert_true(utf8_valid(why.hint, strlen(why.hint)));
		assert_int_equal(strlen(why.text), sizeof(why.text) - 1);
	}
	fail(&why, ERR_exists, "bad \xff\xc3 name");
	assert_string_equal(why.text, "bad ?? name");
	errno = EIO;
	fail_errno(&why, "%s", longer);
	assert_true(utf8_valid(why.text, strlen(why.text)));
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(words_round_trip), TEST(contract_words_exist),
		TEST(unknown_words_are_internal), TEST(errno_words), TEST(fail_fills_why),
		TEST(why_is_utf8) };

	return RUN(tests);
}

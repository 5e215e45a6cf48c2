/*
 * unit/log.c - what a peer's words become in a log line, and the line itself.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

static void escapes(void **state UNUSED)
{
	static const struct {
		struct bytes in;
		const char *want;
	} rows[] = {
		{ { (const uint8_t *)"", 0 }, "" },
		{ { (const uint8_t *)"plain ä€𝄞", 15 }, "plain ä€𝄞" },
		{ { (const uint8_t *)"a\nb\r\t", 5 }, "a\\x0ab\\x0d\\x09" },
		{ { (const uint8_t *)"\x1b[2J", 4 }, "\\x1b[2J" },
		{ { (const uint8_t *)"a\0b", 3 }, "a\\x00b" },
		{ { (const uint8_t *)"\x7f", 1 }, "\\x7f" },
		{ { (const uint8_t *)"say \"hi\\\"", 9 }, "say \\\"hi\\\\\\\"" },
		{ { (const uint8_t *)"\xff\xfe", 2 }, "\\xff\\xfe" },
		{ { (const uint8_t *)"a\xc3", 2 }, "a\\xc3" },
		/* C1, bidi override and isolate, zero width, Arabic mark, BOM, tag */
		{ { (const uint8_t *)"\xc2\x9b", 2 }, "\\u009b" },
		{ { (const uint8_t *)"\xe2\x80\xae", 3 }, "\\u202e" },
		{ { (const uint8_t *)"\xe2\x81\xa6", 3 }, "\\u2066" },
		{ { (const uint8_t *)"\xe2\x80\x8b", 3 }, "\\u200b" },
		{ { (const uint8_t *)"\xd8\x9c", 2 }, "\\u061c" },
		{ { (const uint8_t *)"\xef\xbb\xbf", 3 }, "\\ufeff" },
		{ { (const uint8_t *)"\xf3\xa0\x81\x81", 4 }, "\\ue0041" },
	};
	char out[64];

	for (size_t i = 0; i < COUNT(rows); i++) {
		log_escape(out, sizeof(out), rows[i].in.p, rows[i].in.n);
		check_row(str_eq(out, rows[i].want), "row %zu gave '%s'", i, out);
	}
}

/* Whatever the size, the result ends in NUL inside it, is UTF-8, and says that it was cut. */
static void truncation(void **state UNUSED)
{
	static const char in[] = "0123\xff\n\xe2\x80\xae"
				 "ä€𝄞0123456789\"\\\x01 0123456789 0123456789";

	for (size_t size = 8; size < 100; size++) {
		char out[128];
		size_t n;

		memset(out, 'X', sizeof(out));
		log_escape(out, size, in, sizeof(in) - 1);
		n = strlen(out);
		check_row(n < size, "size %zu", size);
		check_row(utf8_valid(out, n), "size %zu: %s", size, out);
		check_row(size > 70 || str_eq(out + n - 3, "..."), "size %zu: %s", size, out);
		check_row(out[size] == 'X', "size %zu", size);
	}
}

static size_t line_of(int fds[2], char *line, size_t size)
{
	ssize_t n = read(fds[0], line, size - 1);

	assert_true(n > 0);
	line[n] = '\0';
	return (size_t)n;
}

static void lines(void **state UNUSED)
{
	char line[4096], huge[3000];
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	log_to(fds[1], LOG_INFO, LOG_PRIORITY);
	log_line(LOG_DEBUG, "gate", "not wanted", NULL);
	log_line(LOG_WARN, "gate", "peer refused", "method", "vm list", "absent", NULL, "field",
		"a\nb", "plain", "x", "empty", "", NULL);
	line_of(fds, line, sizeof(line));
	assert_string_equal(line,
		"<4>gate: peer refused method=\"vm list\" field=\"a\\x0ab\" plain=x "
		"empty=\"\"\n");
	memset(huge, 'h', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	log_line(LOG_INFO, huge, huge, "k", huge, "k", huge, "k", huge, "k", huge, NULL);
	assert_true(line_of(fds, line, sizeof(line)) <= 1400);
	assert_non_null(strchr(line, '\n'));
	assert_int_equal(strchr(line, '\n')[1], '\0');
	log_to(fds[1], LOG_INFO, LOG_TIMED);
	log_line(LOG_INFO, "gate", "up", "n", log_u64(UINT64_MAX).s, NULL);
	line_of(fds, line, sizeof(line));
	assert_string_equal(line + 24, " info gate: up n=18446744073709551615\n");
	log_to(2, LOG_INFO, LOG_TIMED);
	close(fds[0]);
	close(fds[1]);
}

/* A line is one datagram: what a person reads, and each pair as a field. */
static void journal(void **state UNUSED)
{
	char got[4096];
	int ends[2];
	ssize_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
	log_to(ends[1], LOG_INFO, LOG_JOURNAL);
	log_line(LOG_ERROR, "vm", "cannot start", "vm", "a7", "why", "no\nroom", "boot-ms", "9",
		"absent", NULL, NULL);
	n = recv(ends[0], got, sizeof(got) - 1, MSG_DONTWAIT);
	assert_true(n > 0);
	got[n] = '\0';
	assert_string_equal(got, "PRIORITY=3\nSYSLOG_IDENTIFIER=banger\nBANGER_ACTOR=vm\n"
				 "MESSAGE=vm: cannot start vm=a7 why=\"no\\x0aroom\" boot-ms=9\n"
				 "BANGER_VM=a7\nBANGER_WHY=no\\x0aroom\nBANGER_BOOT_MS=9\n");
	log_to(2, LOG_INFO, LOG_TIMED);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(escapes), TEST(truncation), TEST(lines),
		TEST(journal) };

	return RUN(tests);
}

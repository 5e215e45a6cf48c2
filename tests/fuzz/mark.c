/*
 * fuzz/mark.c - openings are found where they are: the finder, in pieces, against a plain search.
 */
#include "tests/fuzz/fuzz.h"

#include "wire/mark.h"

/* Where the first opening at or behind `at` ends; 0 when there is none. */
static size_t plain(const uint8_t *p, size_t n, size_t at)
{
	static const uint8_t none[NONCE_BYTES];
	uint8_t mark[OPENING_BYTES];

	mark_opening(mark, none);
	for (; at + OPENING_BYTES <= n; at++)
		if (memcmp(p + at, mark, MARK_BYTES) == 0)
			return at + OPENING_BYTES;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct mark_finder m = { .n = 0 };
	uint8_t nonce[NONCE_BYTES];
	size_t at = 0, from = 0, piece;

	if (n < 1)
		return 0;
	piece = p[0] ? p[0] : n;
	p++;
	n--;
	while (at < n) {
		size_t len = MIN(piece, n - at);
		bool found;

		at += mark_find(&m, p + at, len, &found, nonce);
		if (found) {
			must(plain(p, n, from) == at);
			must(memcmp(nonce, p + at - NONCE_BYTES, NONCE_BYTES) == 0);
			from = at;
		}
	}
	must(plain(p, n, from) == 0);
	return 0;
}

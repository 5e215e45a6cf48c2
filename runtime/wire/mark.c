/*
 * mark.c - openings of a link: writing and finding them; pure.
 *
 * The finder never misses an opening that begins inside a failed one: the mark's first byte is
 * nowhere else in the mark.
 */
#include "wire/mark.h"

/* 0xc1 is the one byte that msgpack never uses; the rest is a fixed pseudo-random run. */
static uint8_t mark_byte(size_t i)
{
	return i == 0 ? 0xc1 : (uint8_t)((i * 0x6d + 0x2b) ^ 0x55) == 0xc1
				      ? 0xfe
				      : (uint8_t)((i * 0x6d + 0x2b) ^ 0x55);
}

void mark_opening(uint8_t out[OPENING_BYTES], const uint8_t nonce[NONCE_BYTES])
{
	for (size_t i = 0; i < MARK_BYTES; i++)
		out[i] = mark_byte(i);
	memcpy(out + MARK_BYTES, nonce, NONCE_BYTES);
}

size_t mark_find(struct mark_finder *m, const uint8_t *p, size_t n, bool *found,
	uint8_t nonce[NONCE_BYTES])
{
	*found = false;
	for (size_t i = 0; i < n; i++) {
		if (m->n == 0) {
			const uint8_t *first = memchr(p + i, mark_byte(0), n - i);

			if (!first)
				return n;
			i = (size_t)(first - p);
		}
		if (m->n < MARK_BYTES && p[i] != mark_byte(m->n))
			m->n = p[i] == mark_byte(0) ? 1 : 0;
		else
			m->kept[m->n++] = p[i];
		if (m->n == OPENING_BYTES) {
			m->n = 0;
			*found = true;
			memcpy(nonce, m->kept + MARK_BYTES, NONCE_BYTES);
			return i + 1;
		}
	}
	return n;
}

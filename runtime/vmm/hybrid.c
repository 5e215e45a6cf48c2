/*
 * hybrid.c - the two lines that open a stream to a guest's vsock port.
 */
#include "vmm/hybrid.h"

size_t hybrid_ask(char out[HYBRID_LINE_MAX], uint32_t port)
{
	return (size_t)snprintf(out, HYBRID_LINE_MAX, "CONNECT %u\n", port);
}

static bool is_ok(const struct hybrid_line *l)
{
	if (l->n < 4 || memcmp(l->text, "OK ", 3) != 0)
		return false;
	for (size_t i = 3; i < l->n; i++)
		if (l->text[i] < '0' || l->text[i] > '9')
			return false;
	return true;
}

size_t hybrid_take(struct hybrid_line *l, const uint8_t *p, size_t n, enum hybrid_said *ret)
{
	for (size_t used = 0; used < n; used++) {
		if (p[used] == '\n') {
			*ret = is_ok(l) ? HYBRID_OPEN : HYBRID_BAD;
			return used + 1;
		}
		if (l->n == sizeof(l->text)) {
			*ret = HYBRID_BAD;
			return used;
		}
		l->text[l->n++] = (char)p[used];
	}
	*ret = HYBRID_MORE;
	return n;
}

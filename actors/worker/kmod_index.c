/*
 * kmod_index.c - writes a trie as kmod's format 2.1 has it: big-endian, children before their
 * parent, each node [prefix NUL] [first last offset...] [count (priority value NUL)...].
 *
 * The trie is never built: over sorted keys, a node is a range and a depth.
 */
#include "worker/kmod_index.h"

enum {
	NODE_PREFIX = 0x80000000, NODE_VALUES = 0x40000000, NODE_KIDS = 0x20000000,
	OFFSET_MAX = 0x0fffffff, KEY_MAX = 512, ASCII = 128
};

static void put32(struct buf *out, uint32_t v)
{
	uint8_t b[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	buf_add(out, b, sizeof(b));
}

static int by_key(const void *a, const void *b)
{
	const struct kmod_pair *x = a, *y = b;
	int d = strcmp(x->key, y->key);

	if (d)
		return d;
	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return strcmp(x->value, y->value);
}

static bool is_key(const char *s)
{
	size_t n = 0;

	for (; s[n]; n++)
		if ((unsigned char)s[n] >= ASCII)
			return false;
	return n > 0 && n < KEY_MAX;
}

/* How many characters from `depth` on all keys of a range share: first and last decide. */
static size_t shared(const struct kmod_pair *v, size_t n, size_t depth)
{
	const char *a = v[0].key + depth, *b = v[n - 1].key + depth;
	size_t i = 0;

	while (a[i] && a[i] == b[i])
		i++;
	return i;
}

static uint32_t node(struct kmod_pair *v, size_t n, size_t depth, struct buf *out);

/* Children of keys v[0..n), which go on behind depth; fills offsets by character. */
static void kids(struct kmod_pair *v, size_t n, size_t depth, uint32_t *at, struct buf *out)
{
	for (size_t i = 0, end; i < n; i = end) {
		unsigned char c = (unsigned char)v[i].key[depth];

		for (end = i + 1; end < n && (unsigned char)v[end].key[depth] == c; end++)
			;
		at[c] = node(v + i, end - i, depth + 1, out);
	}
}

static void put_values(const struct kmod_pair *v, size_t n, struct buf *out)
{
	put32(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		put32(out, v[i].priority);
		buf_add(out, v[i].value, strlen(v[i].value) + 1);
	}
}

/* Writes the node and all below it; its offset with flags. */
static uint32_t node(struct kmod_pair *v, size_t n, size_t depth, struct buf *out)
{
	uint32_t at[ASCII] = { 0 }, flags = 0, offset;
	size_t prefix = n ? shared(v, n, depth) : 0, ends = 0;
	size_t below = depth + prefix;

	while (ends < n && v[ends].key[below] == '\0')
		ends++;
	kids(v + ends, n - ends, below, at, out);
	offset = (uint32_t)out->n;
	if (prefix > 0) {
		flags |= NODE_PREFIX;
		buf_add(out, v[0].key + depth, prefix);
		buf_add(out, "", 1);
	}
	if (ends < n) {
		uint8_t range[2] = { (uint8_t)v[ends].key[below], (uint8_t)v[n - 1].key[below] };

		flags |= NODE_KIDS;
		buf_add(out, range, sizeof(range));
		for (uint32_t c = range[0]; c <= range[1]; c++)
			put32(out, at[c]);
	}
	if (ends > 0) {
		flags |= NODE_VALUES;
		put_values(v, ends, out);
	}
	return (offset & OFFSET_MAX) | flags;
}

enum err kmod_index(struct kmod_pair *v, size_t n, struct buf *out, struct why *why)
{
	size_t kept = 0, begin = out->n;
	uint32_t root;

	must(begin == 0);
	for (size_t i = 0; i < n; i++)
		if (is_key(v[i].key))
			v[kept++] = v[i];
	if (kept > 0)
		qsort(v, kept, sizeof(*v), by_key);
	put32(out, 0xb007f457);
	put32(out, 0x00020001);
	put32(out, 0);
	root = node(v, kept, 0, out);
	if (out->failed || out->n > OFFSET_MAX)
		return fail(why, ERR_too_large, "an index of modules over its ceiling");
	for (int i = 0; i < 4; i++)
		out->p[8 + i] = (uint8_t)(root >> (24 - 8 * i));
	return OK;
}

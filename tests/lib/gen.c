/*
 * gen.c - walks a shape and fills it: edges of ranges as often as what lies between them.
 *
 * Text of a type with a check comes from its good samples (lib/samples.h); other text is random
 * UTF-8, and for file names now and then bytes that are none.
 */
#include "tests/lib/gen.h"

#include "tests/lib/samples.h"

enum { TEXT_BYTES = 24, BIN_BYTES = 64, ELEMENTS = 3 };

/* splitmix64 */
uint64_t gen_u64(struct gen *g)
{
	uint64_t z = g->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

uint64_t gen_below(struct gen *g, uint64_t n)
{
	must(n > 0);
	return gen_u64(g) % n;
}

/* lo, hi, something near either, or anything between. */
static uint64_t number(struct gen *g, uint64_t lo, uint64_t hi)
{
	uint64_t span = hi - lo;
	uint64_t some = span < 300 ? span + 1 : 300;

	switch (gen_below(g, 4)) {
	case 0:
		return gen_below(g, 2) ? lo : hi;
	case 1:
		return lo + gen_below(g, some);
	case 2:
		return hi - gen_below(g, some);
	default:
		return span == UINT64_MAX ? gen_u64(g) : lo + gen_below(g, span + 1);
	}
}

static const char *random_text(struct gen *g, const struct type *t)
{
	static const char *const bits[] = { "a", "Z", "7", " ", "-", "/", "ä", "€", "𝄞", "\n",
		"\"" };
	size_t want = (size_t)t->lo + gen_below(g, MIN(t->hi - (uint64_t)t->lo, 16u) + 1), n = 0;
	char s[TEXT_BYTES * 8] = "";

	must((uint64_t)t->lo <= TEXT_BYTES);
	while (n < want) {
		const char *bit = bits[gen_below(g, COUNT(bits))];

		if (n + strlen(bit) > want)
			bit = "x";
		memcpy(s + n, bit, strlen(bit));
		n += strlen(bit);
	}
	if (n > 0 && t->base == BASE_OSSTR && gen_below(g, 4) == 0)
		s[n - 1] = (char)0xff;
	return arena_strn(g->a, s, n);
}

static const char *text(struct gen *g, const struct type *t)
{
	const struct samples *s = samples_of(t);
	size_t n = 0;

	if (!t->check)
		return random_text(g, t);
	must(s && s->good[0]);
	while (s->good[n])
		n++;
	return arena_str(g->a, s->good[gen_below(g, n)]);
}

static bool value(struct gen *g, const struct field *f, void *p)
{
	const struct type *t = f->type;
	bool own = f->op != LIST && (f->lo || f->hi);
	int64_t lo = own ? f->lo : t->lo;
	uint64_t hi = own ? f->hi : t->hi;
	struct bytes *b = p;
	uint8_t *to;

	switch (t->base) {
	case BASE_BOOL:
		*(bool *)p = gen_below(g, 2);
		return true;
	case BASE_U64:
		*(uint64_t *)p = number(g, (uint64_t)lo, hi);
		return true;
	case BASE_I64:
		*(int64_t *)p = (int64_t)number(g, (uint64_t)lo, hi);
		return true;
	case BASE_ENUM:
		*(unsigned *)p = (unsigned)gen_below(g, t->names_n);
		return true;
	case BASE_STR:
	case BASE_OSSTR:
		*(const char **)p = text(g, t);
		return *(const char **)p != NULL;
	case BASE_BIN:
		b->n = (size_t)lo + gen_below(g, MIN(hi - (uint64_t)lo, (uint64_t)BIN_BYTES) + 1);
		b->p = to = arena_take(g->a, b->n + 1);
		for (size_t i = 0; to && i < b->n; i++)
			to[i] = (uint8_t)gen_u64(g);
		return to != NULL;
	}
	return false;
}

static bool list(struct gen *g, const struct field *f, struct any_list *l)
{
	size_t each = f->op == MANY ? f->sub->size : value_size(f->type);
	uint64_t most = MIN(f->hi - (uint64_t)f->lo, (uint64_t)ELEMENTS);
	uint32_t n = (uint32_t)((uint64_t)f->lo + gen_below(g, most + 1));

	l->v = arena_take(g->a, n * each + 1);
	if (!l->v)
		return false;
	for (l->n = 0; l->n < n; l->n++) {
		void *p = (uint8_t *)l->v + l->n * each;

		if (!(f->op == MANY ? gen_object(g, f->sub, p) : value(g, f, p)))
			return false;
	}
	return true;
}

static bool field(struct gen *g, const struct field *f, void *obj)
{
	void *p = (uint8_t *)obj + f->off, *sub;
	bool there = gen_below(g, 2);

	switch (f->op) {
	case OPT:
		return !there || value(g, f, p);
	case MAY:
		*(bool *)((uint8_t *)obj + f->has_off) = there;
		return !there || value(g, f, p);
	case REQ:
		return value(g, f, p);
	case LIST:
	case MANY:
		return list(g, f, p);
	case SUB:
		return gen_object(g, f->sub, p);
	case OPTSUB:
		if (!there)
			return true;
		sub = arena_take(g->a, MAX(f->sub->size, 1u));
		*(void **)p = sub;
		return sub && gen_object(g, f->sub, sub);
	}
	return false;
}

bool gen_object(struct gen *g, const struct shape *s, void *obj)
{
	memset(obj, 0, s->size);
	for (uint32_t i = 0; i < s->count; i++)
		if (!field(g, &s->fields[i], obj))
			return false;
	return true;
}

bool gen_packed(struct gen *g, const struct shape *s, struct buf *out)
{
	void *obj = arena_take(g->a, MAX(s->size, 1u));

	return obj && gen_object(g, s, obj) && shape_pack(s, obj, out, NULL) == OK;
}

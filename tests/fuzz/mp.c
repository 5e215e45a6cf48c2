/*
 * fuzz/mp.c - cursor and scanner agree about any bytes, whole or in pieces, and stay inside them.
 */
#include "tests/fuzz/fuzz.h"

#include "letter/mp.h"

static void walk(struct mp c)
{
	for (;;) {
		const uint8_t *at = c.p;
		struct bytes run;
		uint32_t n;
		uint64_t u;
		int64_t i;
		bool b;

		must(c.p <= c.end);
		if (mp_nil(&c) || mp_bool(&c, &b) || mp_u64(&c, &u) || mp_i64(&c, &i)) {
			must(c.p > at);
		} else if (mp_str(&c, &run) || mp_bin(&c, &run)) {
			must(run.p >= at && run.p + run.n == c.p);
		} else if (mp_array(&c, &n)) {
			must(n <= (size_t)(c.end - c.p));
		} else if (mp_map(&c, &n)) {
			must((uint64_t)n * 2 <= (size_t)(c.end - c.p));
		} else if (!mp_skip(&c)) {
			must(c.p == at);
			return;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct mp_scan whole = { .depth = 0 }, pieces = { .depth = 0 };
	enum mp_scan_result want = mp_scan(&whole, p, n, 4096), got = MP_MORE;
	struct mp c = mp_over(p, n);
	bool skipped = mp_skip(&c);

	walk(mp_over(p, n));
	for (size_t have = 0; have <= n && got == MP_MORE; have += 1 + have / 7)
		got = mp_scan(&pieces, p, have, 4096);
	if (got == MP_MORE)
		got = mp_scan(&pieces, p, n, 4096);
	must(got == want);
	must(want != MP_WHOLE || pieces.at == whole.at);
	if (want == MP_WHOLE)
		must(skipped && (size_t)(c.p - p) == whole.at);
	if (skipped && (size_t)(c.p - p) <= 4096)
		must(want == MP_WHOLE);
	return 0;
}

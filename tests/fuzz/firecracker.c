/*
 * fuzz/firecracker.c - what Firecracker answers, of any bytes: a version, a fault, and the line
 * before a vsock stream, which means the same whole or in pieces.
 */
#include "tests/fuzz/fuzz.h"

#include "actors/vm/fc_api.h"
#include "base/text.h"
#include "vmm/hybrid.h"

static void line(const uint8_t *p, size_t n)
{
	struct hybrid_line whole = { .n = 0 }, parts = { .n = 0 };
	enum hybrid_said said, piece = HYBRID_MORE;
	size_t used = hybrid_take(&whole, p, n, &said), at = 0;

	while (piece == HYBRID_MORE && at < n)
		at += hybrid_take(&parts, p + at, 1, &piece);
	must(used <= n && used <= HYBRID_LINE_MAX + 1);
	must(piece == said && at == used);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct fc_request q = { "PUT", "/vsock", "{}" };
	struct bytes body = { p, n };
	struct fc_version v;
	char text[32];
	struct why why;

	line(p, n);
	if (fc_take_version(body, &v, text, sizeof(text), &why) == OK)
		must(v.major >= 1 && strlen(text) < sizeof(text));
	must(fc_check(&q, 204, body, &why) == OK);
	must(fc_check(&q, 400, body, &why) == ERR_vmm_failed);
	must(utf8_valid(why.text, strlen(why.text)));
	return 0;
}

/*
 * fuzz/text.c - the parsers and printers of base/text.h and the log's escaping.
 */
#include "tests/fuzz/fuzz.h"

#include "base/log.h"
#include "base/text.h"

static void parse(const char *s)
{
	static const char *const words[] = { "image", "memory", "vcpus", "name" };
	uint64_t v = 1, again;
	char shown[40];
	struct why why = { .code = OK };

	if (!parse_u64(s, &v, &why)) {
		snprintf(shown, sizeof(shown), "%llu", (unsigned long long)v);
		must(str_eq(shown, s));
	}
	if (!parse_size(s, &v, &why)) {
		snprintf(shown, sizeof(shown), "%llu", (unsigned long long)v);
		must(parse_size(shown, &again, NULL) == OK && again == v);
		show_size(shown, 16, v);
	}
	if (!parse_duration(s, &v, &why)) {
		snprintf(shown, sizeof(shown), "%llums", (unsigned long long)v);
		must(parse_duration(shown, &again, NULL) == OK && again == v);
		show_duration(shown, 16, v);
		show_time(shown, 32, v);
	}
	must(!why.code || (why.text[0] && utf8_valid(why.text, strlen(why.text))));
	(void)nearest(s, words, COUNT(words));
}

static void escape(const uint8_t *p, size_t n)
{
	char out[64];

	for (size_t size = 8; size <= sizeof(out); size += 7) {
		log_escape(out, size, p, n);
		must(strlen(out) < size && utf8_valid(out, strlen(out)));
		for (const char *c = out; *c; c++)
			must((unsigned char)*c >= 0x20 && *c != 0x7f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *s = malloc(n + 1), *base64 = malloc(n * 2 + 8);
	uint32_t cp;

	must(s && base64);
	if (n)
		memcpy(s, p, n);
	s[n] = '\0';
	parse(s);
	escape(p, n);
	must(utf8_next(p, n, &cp) <= n);
	must(!utf8_valid(p, n) || !memchr(s, 0, n));
	must(!is_label(s, n) || utf8_valid(s, n));
	must(base64_of(base64, n * 2 + 8, p, n) == (n + 2) / 3 * 4);
	must(base64_of(base64, n, p, n) == 0);
	free(s);
	free(base64);
	return 0;
}

/*
 * fuzz/check.c - the first byte picks a type; what its check takes must be what the type promises.
 */
#include "tests/fuzz/fuzz.h"

#include "base/text.h"
#include "proto/check.h"
#include "proto/proto.h"

static bool no_dots(const char *s)
{
	return !str_eq(s, "..") && strncmp(s, "../", 3) != 0 && !strstr(s, "/../") &&
	       !strstr(s, "//") && !(strlen(s) >= 3 && str_eq(s + strlen(s) - 3, "/.."));
}

static void promises(const struct type *t, const char *s)
{
	char name[SERVICE_NAME_MAX + 1];
	uint16_t host;

	if (t == &type_abs_path)
		must(s[0] == '/' && no_dots(s));
	if (t == &type_rel_path)
		must(s[0] != '/' && no_dots(s));
	if (t == &type_vm_id || t == &type_vm_name || t == &type_vm_ref || t == &type_kernel_name)
		must(!strpbrk(s, "/ \n\t\\") && s[0] != '.' && s[0] != '-');
	if (t == &type_image_name)
		must(!strpbrk(s, " \n\t\\") && s[0] != '.' && s[0] != '-' && no_dots(s));
	if (t == &type_signal)
		must(str_eq(signal_word(signal_number(s)), s));
	if (t == &type_service)
		must(parse_service(s, strlen(s), name, &host) && host > 0 && name[0]);
	if (t == &type_digest)
		must(strlen(s) == 71 && !strpbrk(s, "/."));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct type *t;
	struct why why = { .code = OK };
	uint32_t addr = 0, types = 0;
	uint16_t host, guest;
	char *s;

	while (all_types[types])
		types++;
	if (n < 1 || p[0] >= types || memchr(p + 1, 0, n - 1))
		return 0;
	t = all_types[p[0]];
	if (t->base != BASE_STR && t->base != BASE_OSSTR)
		return 0;
	s = malloc(n);
	must(s);
	memcpy(s, p + 1, n - 1);
	s[n - 1] = '\0';
	if (!type_ok(t, "f", s, &why))
		promises(t, s);
	else
		must(why.text[0] && str_eq(why.field, "f"));
	if (parse_publish(s, &addr, &host, &guest))
		must(host > 0 && guest > 0);
	free(s);
	return 0;
}

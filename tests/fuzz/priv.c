/*
 * fuzz/priv.c - what may come to the root helper: the first byte picks a method, the rest is the
 * request. Whatever reads and passes the verb's check must be what root may act on.
 */
#include "tests/fuzz/fuzz.h"

#include "helper/call.h"
#include "proto/check.h"

static struct helper helper = { .owner = 1000,
	.subnet = { .net = 0x0a573000, .mask = 0xfffff000, .bits = 20, .text = "10.87.48.0/20" },
	.state_path = "/s",
	.runtime_path = "/r",
	.jail_path = "/j",
	.state = -1,
	.runtime = -1,
	.jails = -1 };

static bool plain_name(const char *s, const char *prefix)
{
	size_t n = strlen(s);

	return n >= 1 && n <= 15 && strncmp(s, prefix, strlen(prefix)) == 0 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static bool inside(uint32_t addr)
{
	return addr > helper.subnet.net && addr < (helper.subnet.net | ~helper.subnet.mask);
}

static bool clean_beneath(const char *place, const char *path)
{
	const char *rest = beneath(place, path);

	return rest && rest[0] != '/' && !strstr(path, "//") && !strstr(path, "/./") &&
	       !strstr(path, "/../");
}

static void promises(enum letter_id id, const void *body)
{
	const struct priv_bridge *bridge = body;
	const struct priv_create_tap *create = body;
	const struct priv_nat *nat = body;
	unsigned bits;
	uint32_t addr;

	switch ((int)id) {
	case LETTER_priv_ensure_bridge:
		must(plain_name(bridge->bridge, "br-bngr"));
		must(parse_cidr(bridge->address, strlen(bridge->address), &addr, &bits));
		must(bits == helper.subnet.bits && inside(addr));
		break;
	case LETTER_priv_create_tap:
		must(plain_name(create->tap, "bngr-") && plain_name(create->bridge, "br-bngr"));
		break;
	case LETTER_priv_delete_tap:
		must(plain_name(((const struct priv_tap *)body)->tap, "bngr-"));
		break;
	case LETTER_priv_ensure_nat:
		must(plain_name(nat->tap, "bngr-"));
		must(parse_ipv4(nat->guest_ip, strlen(nat->guest_ip), &addr) && inside(addr));
		break;
	case LETTER_priv_ensure_socket_access:
		must(clean_beneath("/r", ((const struct priv_socket *)body)->socket_path));
		break;
	default:
		break;
	}
}

static const struct verb *verb_of(enum letter_id id)
{
	const struct verb *v = verbs;

	while (v->act && v->id != id)
		v++;
	return v->act ? v : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct verb *verb = n > 0 ? verb_of(LETTER_priv_ping + p[0]) : NULL;
	struct arena a = { .max = 256 * KiB };
	struct why why = { .code = OK };
	char about[ABOUT_MAX] = "";
	const struct shape *in;
	void *body;

	if (!verb)
		return 0;
	in = letter_kinds[verb->id].in;
	body = arena_take(&a, MAX(in->size, 1u));
	must(body);
	if (shape_read(in, mp_over(p + 1, n - 1), STRICT, &a, body, &why) ||
		(verb->check && verb->check(&helper, body, &why))) {
		must(why.code && why.text[0]);
	} else {
		promises(verb->id, body);
		if (verb->about)
			verb->about(body, about);
		must(memchr(about, '\0', sizeof(about)));
	}
	arena_done(&a);
	return 0;
}

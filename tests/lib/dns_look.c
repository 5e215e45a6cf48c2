/*
 * dns_look.c - a zone to ask, queries to ask it with, and a strict reader of what it answers.
 */
#include "tests/lib/dns_look.h"

static const struct {
	const char *name;
	uint32_t address;
} hosts[] = { { "alpha", 0x7f680102 }, { "beta", 0x7f680103 }, { "gamma", 0xac1e0007 } };

static bool address_of(void *ctx UNUSED, const char *name, size_t n, uint32_t *ret)
{
	for (size_t i = 0; i < COUNT(hosts); i++)
		if (strlen(hosts[i].name) == n && memcmp(hosts[i].name, name, n) == 0) {
			*ret = hosts[i].address;
			return true;
		}
	return false;
}

static const char *name_at(void *ctx UNUSED, uint32_t address)
{
	for (size_t i = 0; i < COUNT(hosts); i++)
		if (hosts[i].address == address)
			return hosts[i].name;
	return NULL;
}

static bool any_below(void *ctx UNUSED, uint32_t address, unsigned octets)
{
	for (size_t i = 0; i < COUNT(hosts); i++)
		if ((hosts[i].address ^ address) >> (32 - 8 * octets) == 0)
			return true;
	return false;
}

const struct dns_zones dns_test_zones = {
	.serial = 7,
	.nets = { { 0x7f000000, 8 }, { 0xac1e0000, 20 } },
	.nets_n = 2,
	.address_of = address_of,
	.name_at = name_at,
	.any_below = any_below,
};

/* ---- reading ---- */

static unsigned u16_at(struct bytes b, size_t at)
{
	return (unsigned)b.p[at] << 8 | b.p[at + 1];
}

/* The name at `at` as dotted text; answers where it ends, 0 when it is wrong. */
static size_t read_name(struct bytes b, size_t at, char *out, size_t size)
{
	size_t end = 0, n = 0, floor = at;

	for (;;) {
		if (at >= b.n)
			return 0;
		if (b.p[at] >= 0xc0) {
			if (at + 2 > b.n)
				return 0;
			end = end ? end : at + 2;
			at = u16_at(b, at) & 0x3fff;
			if (at >= floor || at < 12)
				return 0;
			floor = at;
			continue;
		}
		if (b.p[at] > 63 || at + 1 + b.p[at] > b.n || n + b.p[at] + 2 > size)
			return 0;
		if (b.p[at] == 0)
			break;
		for (unsigned i = 1; i <= b.p[at]; i++) /* printable, so that it is one text */
			out[n++] =
				(char)(b.p[at + i] > ' ' && b.p[at + i] < 127 ? b.p[at + i] : '?');
		out[n++] = '.';
		at += 1u + b.p[at];
	}
	if (n == 0)
		out[n++] = '.';
	out[n] = '\0';
	return end ? end : at + 1;
}

static const char *read_data(
	struct bytes b, size_t at, size_t n, unsigned type, struct dns_seen *seen)
{
	char second[300];
	size_t end;

	switch (type) {
	case DNS_A:
		snprintf(seen->text, sizeof(seen->text), "%u.%u.%u.%u", b.p[at], b.p[at + 1],
			b.p[at + 2], b.p[at + 3]);
		return n == 4 ? NULL : "an address that is not of four bytes";
	case DNS_NS:
	case DNS_PTR:
		end = read_name(b, at, seen->text, sizeof(seen->text));
		return end == at + n ? NULL : "a name that does not fill its record";
	case DNS_SOA:
		end = read_name(b, at, seen->text, sizeof(seen->text));
		end = end ? read_name(b, end, second, sizeof(second)) : 0;
		return end && end + 20 == at + n ? NULL : "an SOA that does not fill its record";
	default:
		return "a record of a type that is never sent";
	}
}

static const char *read_opt(struct bytes b, size_t at, struct dns_seen *seen)
{
	if (seen->edns || b.p[at] != 0 || u16_at(b, at + 9) != 0)
		return "a wrong OPT";
	seen->edns = true;
	seen->room = u16_at(b, at + 3);
	seen->rcode |= (unsigned)b.p[at + 5] << 4;
	seen->dnssec_ok = b.p[at + 7] == 0x80;
	return b.p[at + 6] == 0 ? NULL : "a wrong version of EDNS";
}

/* Answers where the record ends, 0 when it is wrong. */
static size_t read_record(struct bytes b, size_t at, bool first, bool is_extra,
	struct dns_seen *seen, const char **why)
{
	char owner[1024];
	size_t end = read_name(b, at, owner, sizeof(owner)), n;
	unsigned type;

	if (!end || end + 10 > b.n || end + 10 + u16_at(b, end + 8) > b.n) {
		*why = "a record that is cut";
		return 0;
	}
	type = u16_at(b, end);
	n = u16_at(b, end + 8);
	if (is_extra) {
		*why = type == DNS_OPT ? read_opt(b, at, seen) : "a record that is no OPT";
	} else if (u16_at(b, end + 2) != 1 || u16_at(b, end + 4) != 0) {
		*why = "a wrong class or TTL";
	} else if (first) {
		memcpy(seen->owner, owner, sizeof(owner));
		seen->type = type;
		seen->ttl = u16_at(b, end + 6);
		*why = read_data(b, end + 10, n, type, seen);
	}
	return *why ? 0 : end + 10 + n;
}

static const char *same_question(struct bytes query, struct bytes answer, size_t n)
{
	if (answer.n < 12 + n || query.n < 12 + n)
		return "a question that is cut";
	return memcmp(query.p + 12, answer.p + 12, n) ? "another question" : NULL;
}

static const char *look_records(struct bytes b, size_t at, struct dns_seen *seen)
{
	unsigned plain = seen->answers + seen->authorities;
	const char *why = NULL;

	for (unsigned i = 0; i < plain + seen->additional; i++) {
		at = read_record(b, at, i == 0, i >= plain, seen, &why);
		if (!at)
			return why;
	}
	return at == b.n ? NULL : "bytes behind the last record";
}

const char *dns_look(struct bytes query, struct bytes answer, struct dns_seen *ret)
{
	const char *why;
	char name[1024];
	size_t at = 12;

	memset(ret, 0, sizeof(*ret));
	if (query.n < 12 || answer.n < 12 || memcmp(query.p, answer.p, 2) != 0)
		return "no header, or of another query";
	if ((answer.p[2] & 0x80) == 0 || (answer.p[2] & 0x79) != (query.p[2] & 0x79))
		return "wrong flags: QR, opcode, RD";
	ret->rcode = answer.p[3] & 15;
	if (answer.p[3] & 0xf0)
		return "wrong flags: RA, Z, AD, CD";
	ret->aa = answer.p[2] & 4;
	ret->tc = answer.p[2] & 2;
	ret->rd = answer.p[2] & 1;
	ret->questions = u16_at(answer, 4);
	ret->answers = u16_at(answer, 6);
	ret->authorities = u16_at(answer, 8);
	ret->additional = u16_at(answer, 10);
	if (ret->questions > 1)
		return "more than one question";
	if (ret->questions) {
		at = read_name(answer, 12, name, sizeof(name));
		if (!at)
			return "a question that cannot be read";
		at += 4;
		why = same_question(query, answer, at - 12);
		if (why)
			return why;
	}
	return look_records(answer, at, ret);
}

size_t dns_ask(uint8_t out[512], const char *name, unsigned type, unsigned room)
{
	uint8_t *p = out + 12;

	memcpy(out, "\x12\x34\1\0\0\1\0\0\0\0\0", 12);
	while (*name && *name != '.') {
		size_t n = strcspn(name, ".");

		*p++ = (uint8_t)n;
		memcpy(p, name, n);
		p += n;
		name += n + (name[n] == '.');
	}
	*p++ = 0;
	memcpy(p, &(uint8_t[]){ (uint8_t)(type >> 8), (uint8_t)type, 0, 1 }, 4);
	p += 4;
	if (room) {
		out[11] = 1;
		memcpy(p, "\0\0\x29\0\0\0\0\0\0\0", 11);
		p[3] = (uint8_t)(room >> 8);
		p[4] = (uint8_t)room;
		p += 11;
	}
	return (size_t)(p - out);
}

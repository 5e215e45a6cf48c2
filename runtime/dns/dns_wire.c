/*
 * dns_wire.c - reading a query and writing an answer, byte by byte.
 *
 * Reading is a cursor with an end: whatever is asked of it behind that end fails, and stays failed.
 * Writing knows its room from the start, and a record goes in whole or not at all.
 */
#include "dns/dns_wire.h"

enum {
	FLAG_QR = 0x8000,
	FLAG_AA = 0x0400,
	FLAG_TC = 0x0200,
	FLAG_RD = 0x0100,
	OPCODE = 0x7800,
	OPT_BYTES = 11, /* an OPT without options */
	OPT_DO = 0x8000,
	RECORD_FIXED = 10, /* type, class, TTL, length */
	POINTER = 0xc0
};

struct cursor {
	const uint8_t *p;
	size_t at, n;
	bool failed;
};

static uint16_t take_u16(struct cursor *c)
{
	if (c->failed || c->n - c->at < 2) {
		c->failed = true;
		return 0;
	}
	c->at += 2;
	return (uint16_t)(c->p[c->at - 2] << 8 | c->p[c->at - 1]);
}

static void skip(struct cursor *c, size_t n)
{
	if (c->failed || c->n - c->at < n)
		c->failed = true;
	else
		c->at += n;
}

/* The question's name: plain labels up to the root, remembered where they stand. */
static void take_name(struct cursor *c, struct dns_query *q)
{
	size_t begin = c->at, used = 0;

	q->labels = 0;
	while (!c->failed) {
		size_t length = c->at < c->n ? c->p[c->at] : POINTER;

		used += 1 + length;
		if (length > DNS_LABEL_MAX || used > DNS_NAME_MAX || c->n - c->at < 1 + length) {
			c->failed = true;
			return;
		}
		if (length > 0)
			q->at[q->labels++] = (uint8_t)(c->at - begin);
		c->at += 1 + length;
		if (length == 0)
			break;
	}
	q->name = c->p + begin;
	q->name_n = (uint8_t)used;
}

/* A name that is passed over. Answers whether it is the root. */
static bool skip_name(struct cursor *c)
{
	size_t begin = c->at, used = 0;

	while (!c->failed) {
		size_t length = c->at < c->n ? c->p[c->at] : 0x40;

		if (length >= POINTER) {
			size_t to = take_u16(c) & 0x3fff;

			c->failed |= to < DNS_HEADER_BYTES || to >= begin;
			return false;
		}
		used += 1 + length;
		if (length > DNS_LABEL_MAX || used > DNS_NAME_MAX) {
			c->failed = true;
			break;
		}
		skip(c, 1 + length);
		if (length == 0)
			break;
	}
	return used == 1;
}

/* Options are held against their lengths, and not looked into. */
static void skip_options(struct cursor *c, size_t n)
{
	size_t end = c->at + n;

	if (c->failed || c->n - c->at < n) {
		c->failed = true;
		return;
	}
	while (!c->failed && c->at < end) {
		size_t length;

		take_u16(c);
		length = take_u16(c);
		if (c->failed || c->at > end || end - c->at < length)
			c->failed = true;
		else
			c->at += length;
	}
}

static void take_opt(struct cursor *c, struct dns_query *q, bool root, uint8_t *version)
{
	uint16_t room = take_u16(c), upper = take_u16(c), flags = take_u16(c);

	c->failed |= !root || q->edns; /* RFC 6891: one, and of the root */
	q->edns = true;
	q->room = MIN(MAX(room, (uint16_t)DNS_PLAIN_MAX), (uint16_t)DNS_EDNS_MAX);
	q->dnssec_ok = flags & OPT_DO;
	*version = (uint8_t)upper;
	skip_options(c, take_u16(c));
}

/* What follows the question: each record takes at least 11 bytes, so the packet bounds them. */
static void take_records(struct cursor *c, struct dns_query *q, unsigned n, uint8_t *version)
{
	while (n-- > 0 && !c->failed) {
		bool root = skip_name(c);

		if (take_u16(c) == DNS_OPT) {
			take_opt(c, q, root, version);
			continue;
		}
		skip(c, 6);
		skip(c, take_u16(c));
	}
	c->failed |= c->at != c->n;
}

bool dns_parse(struct bytes packet, struct dns_query *q, enum dns_rcode *rcode)
{
	struct cursor c = { .p = packet.p, .n = packet.n };
	uint16_t questions, answers, authorities, additional;
	uint8_t version = 0;

	*rcode = DNS_NOERROR;
	if (packet.n < DNS_HEADER_BYTES || packet.p[2] & FLAG_QR >> 8)
		return false;
	q->id = take_u16(&c);
	q->flags = take_u16(&c);
	questions = take_u16(&c);
	answers = take_u16(&c);
	authorities = take_u16(&c);
	additional = take_u16(&c);
	q->name_n = q->labels = 0;
	q->edns = q->dnssec_ok = false;
	q->room = DNS_PLAIN_MAX;
	if (q->flags & OPCODE) {
		*rcode = DNS_NOTIMP;
		return true;
	}
	c.failed = questions != 1 || answers || authorities;
	take_name(&c, q);
	q->type = take_u16(&c);
	q->class = take_u16(&c);
	take_records(&c, q, additional, &version);
	if (c.failed) {
		q->name_n = q->labels = 0;
		q->edns = false;
		q->room = DNS_PLAIN_MAX;
		*rcode = DNS_FORMERR;
	} else if (version > 0) {
		q->dnssec_ok = false; /* what its flags mean is not known */
		*rcode = DNS_BADVERS;
	}
	return true;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

bool dns_label_is(const struct dns_query *q, unsigned label, const char *word)
{
	const uint8_t *p = q->name + q->at[label];

	if (p[0] != strlen(word))
		return false;
	for (size_t i = 0; i < p[0]; i++)
		if (lower(p[1 + i]) != (uint8_t)word[i])
			return false;
	return true;
}

size_t dns_label(const struct dns_query *q, unsigned label, char out[DNS_LABEL_MAX + 1])
{
	const uint8_t *p = q->name + q->at[label];

	for (size_t i = 0; i < p[0]; i++)
		out[i] = (char)lower(p[1 + i]);
	out[p[0]] = '\0';
	return p[0];
}

/* ---- the answer ---- */

static uint8_t *put_u16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

bool dns_begin(struct dns_answer *a, const struct dns_query *q, uint8_t *out, size_t most)
{
	size_t question = q->name_n ? q->name_n + 4u : 0;

	*a = (struct dns_answer){ .p = out, .n = DNS_HEADER_BYTES };
	if (most < DNS_HEADER_BYTES + (q->edns ? (size_t)OPT_BYTES : 0))
		return false;
	a->end = most - (q->edns ? (size_t)OPT_BYTES : 0);
	if (question > a->end - a->n) {
		a->cut = true;
		question = 0;
	}
	if (question) {
		uint8_t *p = out + a->n;

		memcpy(p, q->name, q->name_n);
		put_u16(put_u16(p + q->name_n, q->type), q->class);
	}
	a->n += question;
	a->records_at = a->n;
	return true;
}

void dns_record(struct dns_answer *a, const struct dns_query *q, enum dns_section section,
	unsigned owner, enum dns_type type, uint32_t ttl, struct bytes data)
{
	uint8_t *p = a->p + a->n;
	size_t owner_n = owner < q->labels ? 2 : 1;

	must(section == DNS_AUTHORITY || a->counts[DNS_AUTHORITY] == 0);
	if (a->cut || a->end - a->n < owner_n + RECORD_FIXED + data.n) {
		a->cut = true;
		return;
	}
	if (owner < q->labels)
		p = put_u16(p, POINTER << 8 | (DNS_HEADER_BYTES + q->at[owner]));
	else
		*p++ = 0;
	p = put_u16(put_u16(p, type), DNS_CLASS_IN);
	p = put_u16(put_u16(p, ttl >> 16), ttl & 0xffff);
	p = put_u16(p, (unsigned)data.n);
	memcpy(p, data.p, data.n);
	a->n += owner_n + RECORD_FIXED + data.n;
	a->counts[section]++;
}

static void put_opt(struct dns_answer *a, const struct dns_query *q, enum dns_rcode rcode)
{
	uint8_t *p = a->p + a->n;

	*p++ = 0;
	p = put_u16(put_u16(p, DNS_OPT), DNS_EDNS_MAX);
	p = put_u16(p, (unsigned)rcode >> 4 << 8); /* and version 0 */
	put_u16(put_u16(p, q->dnssec_ok ? OPT_DO : 0), 0);
	a->n += OPT_BYTES;
}

size_t dns_end(struct dns_answer *a, const struct dns_query *q, enum dns_rcode rcode)
{
	bool asked = a->records_at > DNS_HEADER_BYTES;
	uint8_t *p = a->p;

	if (a->cut) {
		a->n = a->records_at;
		a->counts[DNS_ANSWER] = a->counts[DNS_AUTHORITY] = 0;
	}
	if (q->edns)
		put_opt(a, q, rcode);
	p = put_u16(p, q->id);
	p = put_u16(p, FLAG_QR | (q->flags & (OPCODE | FLAG_RD)) |
			       (a->authoritative ? FLAG_AA : 0) | (a->cut ? FLAG_TC : 0) |
			       ((unsigned)rcode & 15));
	p = put_u16(p, asked);
	p = put_u16(p, a->counts[DNS_ANSWER]);
	p = put_u16(p, a->counts[DNS_AUTHORITY]);
	put_u16(p, q->edns);
	return a->n;
}

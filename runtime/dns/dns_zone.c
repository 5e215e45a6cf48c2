/*
 * dns_zone.c - from a question to an answer.
 *
 * The question's name leads to a node: outside all zones, absent, or there, with at most an address
 * or a name on it. From the node and the type asked for follows the rest, the same in all zones.
 */
#include "dns/dns_zone.h"

/* Record data of every zone's NS and SOA. There is no host of that name in the zones themselves. */
static const uint8_t server[] = "\011localhost";
static const uint8_t contact[] = "\006nobody\007invalid";

enum { REFRESH = 3600, RETRY = 600, EXPIRE = 86400 };

struct node {
	bool inside; /* of a zone of ours */
	bool exists;
	bool has_address, is_apex;
	unsigned zone; /* the label where its zone begins */
	uint32_t address;
	const char *name; /* PTR; NULL when it has none */
};

/* A decimal octet without leading zeros. */
static bool octet_of(const struct dns_query *q, unsigned label, uint32_t *ret)
{
	char text[DNS_LABEL_MAX + 1];
	size_t n = dns_label(q, label, text);
	uint32_t v = 0;

	if (n == 0 || n > 3 || (text[0] == '0' && n > 1))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(text[i] - '0');
	}
	*ret = v;
	return v <= 255;
}

static unsigned octets_of(const struct dns_net *net)
{
	return (net->prefix + 7u) / 8;
}

static bool holds(const struct dns_net *net, uint32_t address)
{
	uint32_t mask = ~(uint32_t)0 << (32 - net->prefix);

	return (address & mask) == (net->address & mask);
}

/* d.c.b.a.in-addr.arpa, and the names above and below it. */
static void find_reverse(const struct dns_zones *z, const struct dns_query *q, struct node *node)
{
	unsigned below = q->labels - 2u, octets = 0, apex = 0;
	uint32_t octet;

	while (octets < below && octets < 4 && octet_of(q, below - 1 - octets, &octet))
		node->address |= octet << (24 - 8 * octets++);
	for (unsigned i = 0; i < z->nets_n && !apex; i++)
		if (octets >= octets_of(&z->nets[i]) && holds(&z->nets[i], node->address))
			apex = octets_of(&z->nets[i]);
	if (!apex)
		return;
	node->inside = true;
	node->zone = below - apex;
	if (octets < below)
		return;
	node->is_apex = octets == apex;
	if (octets == 4)
		node->name = z->name_at(z->ctx, node->address);
	node->exists = node->is_apex || node->name ||
		       (octets < 4 && z->any_below(z->ctx, node->address, octets));
}

static struct node find(const struct dns_zones *z, const struct dns_query *q)
{
	struct node node = { .inside = false };
	unsigned labels = q->labels;

	if (labels >= 1 && dns_label_is(q, labels - 1, "vm")) {
		node.inside = true;
		node.zone = labels - 1;
		node.is_apex = labels == 1;
		if (labels == 2) {
			char name[DNS_LABEL_MAX + 1];
			size_t n = dns_label(q, 0, name);

			node.has_address = z->address_of(z->ctx, name, n, &node.address);
		}
		node.exists = node.is_apex || node.has_address;
	} else if (labels >= 2 && dns_label_is(q, labels - 1, "arpa") &&
		   dns_label_is(q, labels - 2, "in-addr")) {
		find_reverse(z, q, &node);
	}
	return node;
}

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		*p++ = (uint8_t)(v >> shift);
	return p;
}

static void add_soa(struct dns_answer *a, const struct dns_zones *z, const struct dns_query *q,
	enum dns_section section, unsigned owner)
{
	uint8_t data[sizeof(server) + sizeof(contact) + 20], *p = data;

	p = memcpy(p, server, sizeof(server));
	p = memcpy(p + sizeof(server), contact, sizeof(contact));
	p = put_u32(p + sizeof(contact), z->serial);
	p = put_u32(put_u32(put_u32(p, REFRESH), RETRY), EXPIRE);
	p = put_u32(p, DNS_TTL);
	dns_record(
		a, q, section, owner, DNS_SOA, DNS_TTL, (struct bytes){ data, (size_t)(p - data) });
}

/* NAME.vm. */
static void add_ptr(struct dns_answer *a, const struct dns_query *q, const char *name)
{
	uint8_t data[1 + DNS_LABEL_MAX + 4];
	size_t n = strlen(name);

	must(n >= 1 && n <= DNS_LABEL_MAX);
	data[0] = (uint8_t)n;
	memcpy(data + 1, name, n);
	memcpy(data + 1 + n, "\002vm", 4);
	dns_record(a, q, DNS_ANSWER, 0, DNS_PTR, DNS_TTL, (struct bytes){ data, n + 5 });
}

/* One set of records at most: ANY gets the one that the node is for (RFC 8482). */
static void add_answer(struct dns_answer *a, const struct dns_zones *z, const struct dns_query *q,
	const struct node *node)
{
	bool any = q->type == DNS_ANY;
	uint8_t address[4];

	put_u32(address, node->address);
	if (node->has_address && (any || q->type == DNS_A))
		dns_record(a, q, DNS_ANSWER, 0, DNS_A, DNS_TTL, (struct bytes){ address, 4 });
	else if (node->name && (any || q->type == DNS_PTR))
		add_ptr(a, q, node->name);
	else if (node->is_apex && (any || q->type == DNS_SOA))
		add_soa(a, z, q, DNS_ANSWER, node->zone);
	else if (node->is_apex && q->type == DNS_NS)
		dns_record(a, q, DNS_ANSWER, node->zone, DNS_NS, DNS_TTL,
			(struct bytes){ server, sizeof(server) });
}

static enum dns_rcode resolve(
	struct dns_answer *a, const struct dns_zones *z, const struct dns_query *q)
{
	struct node node = find(z, q);

	if (q->class != DNS_CLASS_IN || !node.inside || q->type == DNS_AXFR || q->type == DNS_IXFR)
		return DNS_REFUSED;
	a->authoritative = true;
	if (node.exists)
		add_answer(a, z, q, &node);
	if (a->counts[DNS_ANSWER] == 0 && !a->cut)
		add_soa(a, z, q, DNS_AUTHORITY, node.zone);
	return node.exists ? DNS_NOERROR : DNS_NXDOMAIN;
}

size_t dns_respond(
	const struct dns_zones *z, struct bytes query, uint8_t *out, size_t most, bool stream)
{
	struct dns_answer a;
	struct dns_query q;
	enum dns_rcode rcode;

	if (!dns_parse(query, &q, &rcode))
		return 0;
	if (!dns_begin(&a, &q, out, stream ? most : MIN(most, (size_t)q.room)))
		return 0;
	if (rcode == DNS_NOERROR)
		rcode = resolve(&a, z, &q);
	return dns_end(&a, &q, rcode);
}

/*
 * names.c - the names: by name, by address, and how many lie beneath each part of an address, so
 * that whatever is asked costs the same with ten thousand of them as with ten.
 */
#include "actors/dns/dns.h"

#include "base/text.h"
#include "proto/check.h"

struct name {
	struct link by_name, by_address;
	uint32_t address;
	char name[64];
};

/* The first octets of an address. */
struct prefix {
	uint32_t address;
	uint32_t octets;
};

struct below {
	struct link link;
	struct prefix prefix;
	uint32_t count;
};

static struct name *name_of(const struct names *n, const char *name, size_t length)
{
	struct link *l = table_get(&n->by_name, name, length);

	return l ? CONTAINER_OF(l, struct name, by_name) : NULL;
}

static struct name *name_by_address(const struct names *n, uint32_t address)
{
	struct link *l = table_get(&n->by_address, &address, sizeof(address));

	return l ? CONTAINER_OF(l, struct name, by_address) : NULL;
}

/* ---- what the zones ask ---- */

static bool address_of(void *ctx, const char *name, size_t length, uint32_t *ret)
{
	const struct name *x = name_of(ctx, name, length);

	if (x)
		*ret = x->address;
	return x != NULL;
}

static const char *name_at(void *ctx, uint32_t address)
{
	const struct name *x = name_by_address(ctx, address);

	return x ? x->name : NULL;
}

static struct prefix prefix_of(uint32_t address, uint32_t octets)
{
	return (struct prefix){ address & ~(uint32_t)0 << (32 - 8 * octets), octets };
}

static struct below *below_of(const struct names *n, uint32_t address, uint32_t octets)
{
	struct prefix prefix = prefix_of(address, octets);
	struct link *l = table_get(&n->below, &prefix, sizeof(prefix));

	return l ? CONTAINER_OF(l, struct below, link) : NULL;
}

static bool any_below(void *ctx, uint32_t address, unsigned octets)
{
	return below_of(ctx, address, octets) != NULL;
}

/* ---- changes ---- */

static void uncount(struct names *n, uint32_t address, uint32_t octets)
{
	struct below *b = below_of(n, address, octets);

	must(b && b->count > 0);
	if (--b->count > 0)
		return;
	table_del(&n->below, &b->link);
	free(b);
}

static bool count(struct names *n, uint32_t address, uint32_t octets)
{
	struct below *b = below_of(n, address, octets);

	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b)
			return false;
		b->prefix = prefix_of(address, octets);
		if (!table_add(&n->below, &b->link, &b->prefix, sizeof(b->prefix))) {
			free(b);
			return false;
		}
	}
	b->count++;
	return true;
}

static bool count_all(struct names *n, uint32_t address)
{
	if (!count(n, address, 2))
		return false;
	if (count(n, address, 3))
		return true;
	uncount(n, address, 2);
	return false;
}

static void uncount_all(struct names *n, uint32_t address)
{
	uncount(n, address, 2);
	uncount(n, address, 3);
}

static bool add(struct names *n, const char *name, uint32_t address)
{
	struct name *x = calloc(1, sizeof(*x));

	if (!x)
		return false;
	must(str_copy(x->name, sizeof(x->name), name));
	x->address = address;
	if (!table_add(&n->by_name, &x->by_name, x->name, strlen(x->name)))
		goto fail_name;
	if (!table_add(&n->by_address, &x->by_address, &x->address, sizeof(x->address)))
		goto fail_address;
	if (count_all(n, address))
		return true;
	table_del(&n->by_address, &x->by_address);
fail_address:
	table_del(&n->by_name, &x->by_name);
fail_name:
	free(x);
	return false;
}

static bool move(struct names *n, struct name *x, uint32_t address)
{
	if (!count_all(n, address))
		return false;
	uncount_all(n, x->address);
	table_del(&n->by_address, &x->by_address);
	x->address = address;
	/* the table had room for one more a line above */
	must(table_add(&n->by_address, &x->by_address, &x->address, sizeof(x->address)));
	return true;
}

static void drop(struct names *n, struct name *x)
{
	uncount_all(n, x->address);
	table_del(&n->by_name, &x->by_name);
	table_del(&n->by_address, &x->by_address);
	free(x);
}

static enum err take_subnet(struct names *n, const char *subnet, struct why *why)
{
	struct dns_zones *z = &n->zones;
	struct dns_net net;
	unsigned bits;

	if (!parse_cidr(subnet, strlen(subnet), &net.address, &bits) || bits < 8)
		return fail_field(
			why, ERR_invalid_value, "subnet", "%s: a subnet has 8 to 32 bits", subnet);
	net.prefix = (uint8_t)bits;
	for (unsigned i = 0; i < z->nets_n; i++)
		if (z->nets[i].prefix == net.prefix &&
			(z->nets[i].address ^ net.address) >> (32 - net.prefix) == 0)
			return OK;
	if (z->nets_n == DNS_NETS_MAX)
		return fail_field(why, ERR_too_large, "subnet",
			"%d reverse zones are answered, one more is refused", DNS_NETS_MAX);
	z->nets[z->nets_n++] = net;
	return OK;
}

enum err names_put(struct names *n, const struct dns_publish *p, struct why *why)
{
	struct name *was = name_of(n, p->name, strlen(p->name)), *there;
	uint32_t address;

	must(parse_ipv4(p->address, strlen(p->address), &address)); /* its type says so */
	if (p->subnet && take_subnet(n, p->subnet, why))
		return why->code;
	there = name_by_address(n, address);
	if (was && was == there)
		return OK;
	if (there)
		return fail_field(why, ERR_exists, "address", "%s is the address of %s", p->address,
			there->name);
	if (!was && n->by_name.count >= NAMES_MAX)
		return fail(why, ERR_busy, "%d names are answered, one more is refused", NAMES_MAX);
	if (!(was ? move(n, was, address) : add(n, p->name, address)))
		return fail(why, ERR_no_memory, "no memory for a name");
	n->zones.serial++;
	return OK;
}

void names_drop(struct names *n, const char *name)
{
	struct name *x = name_of(n, name, strlen(name));

	if (!x)
		return;
	drop(n, x);
	n->zones.serial++;
}

void names_init(struct names *n, const uint64_t seeds[3])
{
	table_init(&n->by_name, seeds[0]);
	table_init(&n->by_address, seeds[1]);
	table_init(&n->below, seeds[2]);
	n->zones = (struct dns_zones){ .serial = 1,
		.nets = { { 0x7f000000, 8 } },
		.nets_n = 1,
		.address_of = address_of,
		.name_at = name_at,
		.any_below = any_below,
		.ctx = n };
}

void names_done(struct names *n)
{
	struct link *l;

	while ((l = table_next(&n->by_name, NULL)) != NULL)
		drop(n, CONTAINER_OF(l, struct name, by_name));
	must(n->by_address.count == 0 && n->below.count == 0);
	table_done(&n->by_name);
	table_done(&n->by_address);
	table_done(&n->below);
}

void names_verify(const struct names *n)
{
	uint32_t threes = 0, twos = 0;

	must(n->by_name.count == n->by_address.count);
	for (const struct link *l = table_next(&n->below, NULL); l; l = table_next(&n->below, l)) {
		const struct below *b = CONTAINER_OF(l, struct below, link);

		*(b->prefix.octets == 2 ? &twos : &threes) += b->count;
	}
	must(twos == n->by_name.count && threes == twos);
}

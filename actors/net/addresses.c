/*
 * addresses.c - a bitmap over the subnet, searched round and round, so that an address that was
 * given back is the last to be given away again: nothing that still remembers it is led astray.
 */
#include "actors/net/addresses.h"

static uint32_t size_of(const struct addresses *a)
{
	return 1u << (32 - a->bits);
}

static bool is_taken(const struct addresses *a, uint32_t at)
{
	return a->map[at / 8] >> at % 8 & 1;
}

bool addresses_init(struct addresses *a, uint32_t net, unsigned bits)
{
	must(bits >= 16 && bits <= 30);
	*a = (struct addresses){ .net = net, .bits = bits, .next = 2 };
	a->map = calloc(1, (size_of(a) + 7) / 8);
	return a->map != NULL;
}

void addresses_done(struct addresses *a)
{
	free(a->map);
	a->map = NULL;
}

uint32_t addresses_gateway(const struct addresses *a)
{
	return a->net + 1;
}

uint32_t addresses_most(const struct addresses *a)
{
	return size_of(a) - 3;
}

bool addresses_take(struct addresses *a, uint32_t address)
{
	uint32_t at = address - a->net;

	if (address < a->net || at < 2 || at >= size_of(a) - 1 || is_taken(a, at))
		return false;
	a->map[at / 8] |= (uint8_t)(1u << at % 8);
	a->taken++;
	return true;
}

bool addresses_find(struct addresses *a, uint32_t *ret)
{
	uint32_t last = size_of(a) - 2;

	if (a->taken == addresses_most(a))
		return false;
	while (is_taken(a, a->next))
		a->next = a->next == last ? 2 : a->next + 1;
	*ret = a->net + a->next;
	must(addresses_take(a, *ret));
	a->next = a->next == last ? 2 : a->next + 1;
	return true;
}

void addresses_give(struct addresses *a, uint32_t address)
{
	uint32_t at = address - a->net;

	must(at >= 2 && at < size_of(a) - 1 && is_taken(a, at));
	a->map[at / 8] &= (uint8_t) ~(1u << at % 8);
	a->taken--;
}

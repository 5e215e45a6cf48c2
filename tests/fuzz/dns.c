/*
 * fuzz/dns.c - any bytes at all as a query: what is answered can be read, answers that query, and
 * keeps to its room, on a datagram and on a stream, whatever room there is.
 */
#include "tests/fuzz/fuzz.h"

#include "tests/lib/dns_look.h"

static void try_one(struct bytes query, size_t most, bool stream)
{
	uint8_t *out = malloc(most ? most : 1);
	struct dns_seen seen;
	size_t n;

	must(out);
	n = dns_respond(&dns_test_zones, query, out, most, stream);
	must(n <= most);
	if (query.n < 12 || query.p[2] & 0x80)
		must(n == 0);
	if (n > 0) {
		must(dns_look(query, (struct bytes){ out, n }, &seen) == NULL);
		must(seen.answers + seen.authorities <= 1);
		must(!seen.tc || seen.answers + seen.authorities == 0);
		must(seen.ttl <= 1);
		must(stream || n <= 1232);
		must(stream || seen.edns || n <= 512);
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t *query;

	if (n < 1)
		return 0;
	query = malloc(n); /* of exactly that size, so that reading past its end is seen */
	must(query);
	memcpy(query, p + 1, n - 1);
	try_one((struct bytes){ query, n - 1 }, 1232, false);
	try_one((struct bytes){ query, n - 1 }, 65535, true);
	try_one((struct bytes){ query, n - 1 }, p[0], false);
	free(query);
	return 0;
}

/*
 * lib/dns_look.h - for tests of the responder: a zone of three names, and a reader of answers that
 * was written apart from the code that makes them.
 */
#ifndef TESTS_LIB_DNS_LOOK_H
#define TESTS_LIB_DNS_LOOK_H

#include "dns/dns_zone.h"

/*
 * alpha 127.104.1.2, beta 127.104.1.3, gamma 172.30.0.7; reverse zones for 127/8 and 172.30.0.0/20.
 */
extern const struct dns_zones dns_test_zones;

struct dns_seen {
	unsigned rcode; /* all twelve bits */
	bool aa, tc, rd;
	unsigned questions, answers, authorities, additional;
	bool edns, dnssec_ok;
	unsigned room; /* that the OPT tells */
	unsigned type, ttl; /* of the first record, in answer or authority */
	char owner[1024], text[600]; /* of that record: its name, its address or name */
};

/*
 * Reads an answer to the query. NULL, or what is wrong with it. What the reader checks: lengths and
 * counts add up to the last byte, the question is the one that was asked, pointers lead backwards.
 */
const char *dns_look(struct bytes query, struct bytes answer, struct dns_seen *ret);

/* A query: header, question of dotted text ("." is the root), and an OPT when room > 0. */
size_t dns_ask(uint8_t out[512], const char *name, unsigned type, unsigned room);

#endif

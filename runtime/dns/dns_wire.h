/*
 * dns/dns_wire.h - the bytes of DNS: one query in, one answer out. Pure, and allocates nothing.
 *
 * A query is a header, one question, and whatever records follow it, of which only an OPT (EDNS) is
 * looked at. Names are never followed: a question has no pointers, and elsewhere a pointer ends the
 * name and must lead backwards (RFC 9267). Every count and length is held against the bytes that
 * are there, and bytes that nothing accounts for are an error.
 */
#ifndef DNS_DNS_WIRE_H
#define DNS_DNS_WIRE_H

#include "base/base.h"

enum {
	DNS_HEADER_BYTES = 12,
	DNS_NAME_MAX = 255, /* bytes of a name, with lengths and the root's zero */
	DNS_LABEL_MAX = 63,
	DNS_LABELS_MAX = 127,
	DNS_PLAIN_MAX = 512, /* a datagram to a client without EDNS */
	DNS_EDNS_MAX =
		1232, /* what is told by EDNS, and the most that is ever sent in a datagram */
	DNS_QUERY_MAX = 1280 /* no query of sense is longer: name, OPT and its options */
};

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_AAAA = 28,
	DNS_OPT = 41,
	DNS_IXFR = 251,
	DNS_AXFR = 252,
	DNS_ANY = 255
};

enum { DNS_CLASS_IN = 1 };

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16 /* its upper bits travel in the OPT */
};

struct dns_query {
	uint16_t id, flags; /* as they came */
	uint16_t type, class;
	const uint8_t *name; /* in the packet: lengths and labels, as they were written */
	uint8_t name_n; /* bytes, with the root's zero; 0 when no question was understood */
	uint8_t labels; /* without the root */
	uint8_t at[DNS_LABELS_MAX]; /* where each label's length stands in name */
	bool edns, dnssec_ok;
	uint16_t room; /* the greatest datagram that the client takes */
};

/*
 * False: it is to be dropped, being too short to answer, or itself an answer. *rcode is NOERROR, or
 * why the query is refused: FORMERR and NOTIMP (no question is kept), BADVERS.
 */
bool dns_parse(struct bytes packet, struct dns_query *q, enum dns_rcode *rcode) MUST_CHECK;

/* Whether the label is that lower-case word, whatever the case it was written in. */
bool dns_label_is(const struct dns_query *q, unsigned label, const char *word);
/* The label in lower case, NUL-terminated; answers its length. It may hold any byte. */
size_t dns_label(const struct dns_query *q, unsigned label, char out[DNS_LABEL_MAX + 1]);

/* An answer that is being written. */
struct dns_answer {
	uint8_t *p;
	size_t n;
	size_t end; /* where records must stop: what the OPT needs is kept back */
	size_t records_at; /* behind the question */
	uint16_t counts[2]; /* answer, authority */
	bool authoritative;
	bool cut; /* a record found no room */
};

enum dns_section { DNS_ANSWER, DNS_AUTHORITY };

/*
 * Begins an answer of at most `most` bytes: header and, when it fits, the question. False: not even
 * a header fits.
 */
bool dns_begin(struct dns_answer *a, const struct dns_query *q, uint8_t *out, size_t most);
/*
 * A record whose owner is the question's name from that label on (q->labels: the root). Sections
 * are written in their order.
 */
void dns_record(struct dns_answer *a, const struct dns_query *q, enum dns_section section,
	unsigned owner, enum dns_type type, uint32_t ttl, struct bytes data);
/* The last act; answers the length. An answer that did not fit has no records, and TC set. */
size_t dns_end(struct dns_answer *a, const struct dns_query *q, enum dns_rcode rcode);

#endif

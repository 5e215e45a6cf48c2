/*
 * unit/dns.c - the responder's bytes: every kind of question, every kind of wrong query, every room
 * for the answer.
 */
#include "tests/unit/unit.h"

#include "tests/lib/dns_look.h"

#define L63 "a23456789b123456789c123456789d123456789e123456789f123456789g123"

static size_t respond(const void *query, size_t n, uint8_t *out, size_t most, bool stream)
{
	/* of exactly that size, so that the sanitizer sees what is read past its end */
	uint8_t *copy = malloc(n ? n : 1);
	size_t answer;

	assert_non_null(copy);
	memcpy(copy, query, n);
	answer = dns_respond(&dns_test_zones, (struct bytes){ copy, n }, out, most, stream);
	free(copy);
	return answer;
}

static void see(const void *query, size_t n, struct dns_seen *seen, const char *row)
{
	uint8_t out[1232];
	size_t answer = respond(query, n, out, sizeof(out), false);
	const char *why =
		answer ? dns_look((struct bytes){ query, n }, (struct bytes){ out, answer }, seen) :
			 "no answer";

	check_row(!why, "%s: %s", row, why);
}

/* ---- what is answered ---- */

static const struct {
	const char *name;
	unsigned type, rcode;
	bool answers; /* else the SOA stands in the authority section, unless it is refused */
	const char *owner, *text;
} questions[] = {
	{ "alpha.vm", DNS_A, DNS_NOERROR, true, "alpha.vm.", "127.104.1.2" },
	{ "AlPhA.vM", DNS_A, DNS_NOERROR, true, "AlPhA.vM.", "127.104.1.2" },
	{ "gamma.vm", DNS_A, DNS_NOERROR, true, "gamma.vm.", "172.30.0.7" },
	{ "alpha.vm", DNS_AAAA, DNS_NOERROR, false, "vm.", "localhost." },
	{ "alpha.VM", DNS_SOA, DNS_NOERROR, false, "VM.", "localhost." },
	{ "alpha.vm", DNS_OPT, DNS_NOERROR, false, "vm.", "localhost." },
	{ "alpha.vm", 16, DNS_NOERROR, false, "vm.", "localhost." },
	{ "alpha.vm", DNS_ANY, DNS_NOERROR, true, "alpha.vm.", "127.104.1.2" },
	{ "delta.vm", DNS_A, DNS_NXDOMAIN, false, "vm.", "localhost." },
	{ "alph.vm", DNS_A, DNS_NXDOMAIN, false, "vm.", "localhost." },
	{ "alphaa.vm", DNS_AAAA, DNS_NXDOMAIN, false, "vm.", "localhost." },
	{ "x.alpha.vm", DNS_A, DNS_NXDOMAIN, false, "vm.", "localhost." },
	{ L63 ".vm", DNS_A, DNS_NXDOMAIN, false, "vm.", "localhost." },
	{ "vm", DNS_SOA, DNS_NOERROR, true, "vm.", "localhost." },
	{ "vm", DNS_NS, DNS_NOERROR, true, "vm.", "localhost." },
	{ "vm", DNS_ANY, DNS_NOERROR, true, "vm.", "localhost." },
	{ "vm", DNS_A, DNS_NOERROR, false, "vm.", "localhost." },
	{ "alpha.vm", DNS_AXFR, DNS_REFUSED, false, "", "" },
	{ "vm", DNS_IXFR, DNS_REFUSED, false, "", "" },
	{ ".", DNS_NS, DNS_REFUSED, false, "", "" },
	{ "alpha.vmm", DNS_A, DNS_REFUSED, false, "", "" },
	{ "alpha.vm.com", DNS_A, DNS_REFUSED, false, "", "" },
	{ "alpha", DNS_A, DNS_REFUSED, false, "", "" },
	{ "arpa", DNS_A, DNS_REFUSED, false, "", "" },
	{ "in-addr.arpa", DNS_PTR, DNS_REFUSED, false, "", "" },
	{ "127", DNS_PTR, DNS_REFUSED, false, "", "" },
	/* reverse: 127/8, one zone */
	{ "2.1.104.127.in-addr.arpa", DNS_PTR, DNS_NOERROR, true, "2.1.104.127.in-addr.arpa.",
		"alpha.vm." },
	{ "2.1.104.127.IN-addr.ARPA", DNS_PTR, DNS_NOERROR, true, "2.1.104.127.IN-addr.ARPA.",
		"alpha.vm." },
	{ "2.1.104.127.in-addr.arpa", DNS_ANY, DNS_NOERROR, true, "2.1.104.127.in-addr.arpa.",
		"alpha.vm." },
	{ "2.1.104.127.in-addr.arpa", DNS_A, DNS_NOERROR, false, "127.in-addr.arpa.",
		"localhost." },
	{ "4.1.104.127.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN, false, "127.in-addr.arpa.",
		"localhost." },
	{ "02.1.104.127.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN, false, "127.in-addr.arpa.",
		"localhost." },
	{ "258.1.104.127.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN, false, "127.in-addr.arpa.",
		"localhost." },
	{ "a.1.104.127.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN, false, "127.in-addr.arpa.",
		"localhost." },
	{ "9.2.1.104.127.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN, false, "127.in-addr.arpa.",
		"localhost." },
	{ "1.104.127.in-addr.arpa", DNS_PTR, DNS_NOERROR, false, "127.in-addr.arpa.",
		"localhost." },
	{ "104.127.in-addr.arpa", DNS_PTR, DNS_NOERROR, false, "127.in-addr.arpa.", "localhost." },
	{ "103.127.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN, false, "127.in-addr.arpa.", "localhost." },
	{ "127.in-addr.arpa", DNS_SOA, DNS_NOERROR, true, "127.in-addr.arpa.", "localhost." },
	{ "127.in-addr.arpa", DNS_NS, DNS_NOERROR, true, "127.in-addr.arpa.", "localhost." },
	{ "127.in-addr.arpa", DNS_PTR, DNS_NOERROR, false, "127.in-addr.arpa.", "localhost." },
	{ "128.in-addr.arpa", DNS_PTR, DNS_REFUSED, false, "", "" },
	/* reverse: a /20, sixteen zones of a /24 */
	{ "7.0.30.172.in-addr.arpa", DNS_PTR, DNS_NOERROR, true, "7.0.30.172.in-addr.arpa.",
		"gamma.vm." },
	{ "7.15.30.172.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN, false, "15.30.172.in-addr.arpa.",
		"localhost." },
	{ "0.30.172.in-addr.arpa", DNS_SOA, DNS_NOERROR, true, "0.30.172.in-addr.arpa.",
		"localhost." },
	{ "9.30.172.in-addr.arpa", DNS_PTR, DNS_NOERROR, false, "9.30.172.in-addr.arpa.",
		"localhost." },
	{ "7.16.30.172.in-addr.arpa", DNS_PTR, DNS_REFUSED, false, "", "" },
	{ "30.172.in-addr.arpa", DNS_NS, DNS_REFUSED, false, "", "" },
};

static void answers_what_is_asked(void **state UNUSED)
{
	for (size_t i = 0; i < COUNT(questions); i++) {
		unsigned expected = questions[i].rcode;
		struct dns_seen seen;
		uint8_t query[512];
		size_t n = dns_ask(query, questions[i].name, questions[i].type, 0);

		see(query, n, &seen, questions[i].name);
		check_row(seen.rcode == expected, "%zu %s: rcode %u", i, questions[i].name,
			seen.rcode);
		check_row(seen.aa == (expected != DNS_REFUSED), "%s: aa", questions[i].name);
		check_row(seen.answers == questions[i].answers, "%s: answers", questions[i].name);
		check_row(seen.authorities == (seen.aa && !questions[i].answers), "%s: authority",
			questions[i].name);
		check_row(seen.questions == 1 && seen.rd && !seen.tc && seen.additional == 0, "%s",
			questions[i].name);
		check_row(str_eq(seen.owner, questions[i].owner), "%s: owner %s", questions[i].name,
			seen.owner);
		check_row(str_eq(seen.text, questions[i].text), "%s: %s", questions[i].name,
			seen.text);
		check_row(seen.ttl <= 1, "%s: ttl", questions[i].name);
	}
}

static void only_class_in(void **state UNUSED)
{
	static const uint8_t classes[] = { 0, 2, 3, 4, 254, 255 };
	struct dns_seen seen;
	uint8_t query[512];
	size_t n = dns_ask(query, "alpha.vm", DNS_A, 0);

	for (size_t i = 0; i < COUNT(classes); i++) {
		query[n - 1] = classes[i];
		see(query, n, &seen, "class");
		check_row(seen.rcode == DNS_REFUSED && !seen.aa && seen.answers == 0, "class %u",
			classes[i]);
	}
}

/* ---- names at their limits ---- */

static void longest_names(void **state UNUSED)
{
	static const struct {
		const char *name;
		unsigned rcode;
	} rows[] = {
		{ L63 "." L63 "." L63
		      ".a23456789b123456789c123456789d123456789e123456789f12345678.vm",
			DNS_NXDOMAIN }, /* 255 bytes */
		{ L63 "." L63 "." L63
		      ".a23456789b123456789c123456789d123456789e123456789f123456789."
		      "vm",
			DNS_FORMERR },
		{ "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
		  "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
		  "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
		  "a.a.a.a.a.vm",
			DNS_NXDOMAIN }, /* 254 bytes, 126 labels */
	};
	struct dns_seen seen;
	uint8_t query[512];

	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t n = dns_ask(query, rows[i].name, DNS_A, 0);

		see(query, n, &seen, rows[i].name);
		check_row(seen.rcode == rows[i].rcode, "%s: rcode %u", rows[i].name, seen.rcode);
	}
}

/* ---- what is wrong ---- */

#define HEAD "\x12\x34\0\0\0\1\0\0\0\0\0\0"
#define HEAD_ADDITIONAL(n) "\x12\x34\0\0\0\1\0\0\0\0\0" n
#define QUESTION "\5alpha\2vm\0\0\1\0\1"
#define OPT(version) "\0\0\x29\x10\0\0" version "\0\0\0\0"

static const struct {
	const char *what;
	struct bytes query;
	unsigned rcode;
} wrong[] = {
	{ "no question at all", BYTES(HEAD), DNS_FORMERR },
	{ "QDCOUNT 0", BYTES("\x12\x34\0\0\0\0\0\0\0\0\0\0" QUESTION), DNS_FORMERR },
	{ "QDCOUNT 2", BYTES("\x12\x34\0\0\0\2\0\0\0\0\0\0" QUESTION QUESTION), DNS_FORMERR },
	{ "QDCOUNT 65535", BYTES("\x12\x34\0\0\xff\xff\0\0\0\0\0\0" QUESTION), DNS_FORMERR },
	{ "an answer in a query",
		BYTES("\x12\x34\0\0\0\1\0\1\0\0\0\0" QUESTION "\0\0\1\0\1\0\0\0\0\0\4abcd"),
		DNS_FORMERR },
	{ "an authority in a query",
		BYTES("\x12\x34\0\0\0\1\0\0\0\1\0\0" QUESTION "\0\0\1\0\1\0\0\0\0\0\4abcd"),
		DNS_FORMERR },
	{ "a record that is not there", BYTES(HEAD_ADDITIONAL("\1") QUESTION), DNS_FORMERR },
	{ "65535 records that are not there", BYTES("\x12\x34\0\0\0\1\0\0\0\0\xff\xff" QUESTION),
		DNS_FORMERR },
	{ "bytes behind the question", BYTES(HEAD QUESTION "x"), DNS_FORMERR },
	{ "a label of 64", BYTES(HEAD "\x40" L63 "4\2vm\0\0\1\0\1"), DNS_FORMERR },
	{ "a label of 128", BYTES(HEAD "\x80" L63 L63 "44\2vm\0\0\1\0\1"), DNS_FORMERR },
	{ "a pointer to itself", BYTES(HEAD "\xc0\x0c\0\1\0\1"), DNS_FORMERR },
	{ "a pointer forward", BYTES(HEAD "\xc0\x20\0\1\0\1"), DNS_FORMERR },
	{ "a pointer into the header", BYTES(HEAD "\1a\xc0\0\0\1\0\1"), DNS_FORMERR },
	{ "a pointer past the end", BYTES(HEAD "\xff\xff\0\1\0\1"), DNS_FORMERR },
	{ "a pointer backwards", BYTES(HEAD "\5alpha\xc0\x0c\0\1\0\1"), DNS_FORMERR },
	{ "half a pointer", BYTES(HEAD "\xc0"), DNS_FORMERR },
	{ "a record whose pointer leads to itself",
		BYTES(HEAD_ADDITIONAL("\1") QUESTION "\xc0\x1a\0\1\0\1\0\0\0\0\0\0"), DNS_FORMERR },
	{ "a record whose pointer leads forward",
		BYTES(HEAD_ADDITIONAL("\1") QUESTION "\xc0\x20\0\1\0\1\0\0\0\0\0\0"), DNS_FORMERR },
	{ "a record whose pointer leads into the header",
		BYTES(HEAD_ADDITIONAL("\1") QUESTION "\xc0\x04\0\1\0\1\0\0\0\0\0\0"), DNS_FORMERR },
	{ "a record that is longer than the packet",
		BYTES(HEAD_ADDITIONAL("\1") QUESTION "\0\0\1\0\1\0\0\0\0\xff\xff"
						     "abcd"),
		DNS_FORMERR },
	{ "two OPTs", BYTES(HEAD_ADDITIONAL("\2") QUESTION OPT("\0") OPT("\0")), DNS_FORMERR },
	{ "an OPT that is not the root's", BYTES(HEAD_ADDITIONAL("\1") QUESTION "\1a" OPT("\0")),
		DNS_FORMERR },
	{ "an option that is cut",
		BYTES(HEAD_ADDITIONAL("\1") QUESTION "\0\0\x29\x10\0\0\0\0\0\0\6\0\x0a\0\x08zz"),
		DNS_FORMERR },
	{ "three bytes of an option",
		BYTES(HEAD_ADDITIONAL("\1") QUESTION "\0\0\x29\x10\0\0\0\0\0\0\3\0\x0a\0"),
		DNS_FORMERR },
	{ "EDNS version 1", BYTES(HEAD_ADDITIONAL("\1") QUESTION OPT("\1")), DNS_BADVERS },
	{ "EDNS version 255", BYTES(HEAD_ADDITIONAL("\1") QUESTION OPT("\xff")), DNS_BADVERS },
	{ "opcode 1", BYTES("\x12\x34\x08\0\0\1\0\0\0\0\0\0" QUESTION), DNS_NOTIMP },
	{ "opcode 2, a header only", BYTES("\x12\x34\x10\0\0\0\0\0\0\0\0\0"), DNS_NOTIMP },
	{ "opcode 5", BYTES("\x12\x34\x28\0\0\1\0\0\0\0\0\0" QUESTION), DNS_NOTIMP },
	{ "opcode 15", BYTES("\x12\x34\x78\0\0\1\0\0\0\0\0\0" QUESTION), DNS_NOTIMP },
};

static void refuses_what_is_wrong(void **state UNUSED)
{
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct dns_seen seen;

		see(wrong[i].query.p, wrong[i].query.n, &seen, wrong[i].what);
		check_row(seen.rcode == wrong[i].rcode, "%s: rcode %u", wrong[i].what, seen.rcode);
		check_row(!seen.aa && seen.answers + seen.authorities == 0, "%s", wrong[i].what);
		check_row(seen.edns == (wrong[i].rcode == DNS_BADVERS), "%s: OPT", wrong[i].what);
	}
}

static void takes_what_is_odd(void **state UNUSED)
{
	static const struct {
		const char *what;
		struct bytes query;
	} rows[] = {
		{ "an OPT with options", BYTES(HEAD_ADDITIONAL("\1") QUESTION
						 "\0\0\x29\x10\0\0\0\0\0\0\x10\0\x0a\0\x08"
						 "12345678\0\x03\0\0") },
		{ "a record that is no OPT", BYTES(HEAD_ADDITIONAL("\1") QUESTION
						     "\xc0\x0c\0\xfa\0\xff\0\0\0\0\0\4abcd") },
		{ "such a record before the OPT",
			BYTES(HEAD_ADDITIONAL("\2") QUESTION
				"\1b\xc0\x12\0\1\0\1\0\0\0\0\0\0" OPT("\0")) },
		{ "flags that mean nothing here",
			BYTES("\x12\x34\7\xff\0\1\0\0\0\0\0\0" QUESTION) },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dns_seen seen;

		see(rows[i].query.p, rows[i].query.n, &seen, rows[i].what);
		check_row(seen.rcode == DNS_NOERROR && seen.answers == 1, "%s: rcode %u",
			rows[i].what, seen.rcode);
	}
}

static void drops_answers_and_crumbs(void **state UNUSED)
{
	uint8_t query[512], out[1232];
	size_t n = dns_ask(query, "alpha.vm", DNS_A, 4096);

	for (size_t cut = 0; cut < n; cut++) {
		size_t answer = respond(query, cut, out, sizeof(out), false);

		if (cut < 12)
			check_row(answer == 0, "%zu bytes get an answer", cut);
		else
			check_row(
				answer == 12 && out[3] == DNS_FORMERR, "%zu bytes of a query", cut);
	}
	query[2] |= 0x80;
	assert_int_equal(respond(query, n, out, sizeof(out), false), 0);
	query[2] = 0xf8;
	assert_int_equal(respond(query, n, out, sizeof(out), true), 0);
}

/* ---- room ---- */

static void keeps_to_its_room(void **state UNUSED)
{
	static const unsigned types[] = { DNS_A, DNS_AAAA, DNS_SOA, DNS_AXFR };

	for (size_t t = 0; t < COUNT(types); t++)
		for (unsigned edns = 0; edns <= 4096; edns += 4096) {
			uint8_t query[512], full[512], out[512];
			size_t n = dns_ask(query, "alpha.vm", types[t], edns);
			size_t whole = respond(query, n, full, sizeof(full), false);

			for (size_t most = 0; most <= whole; most++) {
				size_t answer = respond(query, n, out, most, most % 2);
				struct dns_seen seen;
				const char *why;

				check_row(answer <= most, "room %zu", most);
				check_row(answer > 0 || most < 12u + (edns ? 11 : 0), "room %zu",
					most);
				if (answer == 0)
					continue;
				why = dns_look((struct bytes){ query, n },
					(struct bytes){ out, answer }, &seen);
				check_row(!why, "room %zu: %s", most, why);
				check_row(seen.tc == (most < whole), "room %zu", most);
				check_row(seen.edns == (edns > 0), "room %zu", most);
			}
		}
}

static void tells_its_own_room(void **state UNUSED)
{
	static const uint16_t rooms[] = { 1, 511, 512, 1232, 4096, 65535 };

	for (size_t i = 0; i < COUNT(rooms); i++) {
		uint8_t query[512];
		struct dns_seen seen;
		size_t n = dns_ask(query, "alpha.vm", DNS_A, rooms[i]);

		see(query, n, &seen, "edns");
		check_row(seen.edns && seen.room == 1232 && seen.answers == 1, "%u", rooms[i]);
		check_row(!seen.dnssec_ok, "%u", rooms[i]);
		query[n - 4] = 0x80; /* DNSSEC is asked for: the bit comes back */
		see(query, n, &seen, "do");
		check_row(seen.dnssec_ok, "%u", rooms[i]);
	}
}

/* ---- mutations ---- */

static uint64_t random_from(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 0x2545f4914f6cdd1d >> 16;
}

static size_t mutate(uint64_t *seed, uint8_t query[512], size_t n)
{
	for (uint64_t i = random_from(seed) % 4 + 1; i > 0; i--) {
		size_t at = random_from(seed) % n;

		switch (random_from(seed) % 4) {
		case 0:
			query[at] = (uint8_t)random_from(seed);
			break;
		case 1:
			query[at] ^= (uint8_t)(1 << random_from(seed) % 8);
			break;
		case 2:
			n = MAX(at, (size_t)1);
			break;
		default:
			if (n < 500) {
				memmove(query + at + 1, query + at, n - at);
				n++;
			}
		}
	}
	return n;
}

/* Each is answered so that the reader can read it, or not at all. */
static void a_million_mutations(void **state UNUSED)
{
	static const char *const names[] = { "alpha.vm", "x.vm", "vm", "example.org",
		"2.1.104.127.in-addr.arpa", "1.104.127.in-addr.arpa" };
	uint64_t seed = 88172645463325252;
	unsigned rcodes[DNS_BADVERS + 1] = { 0 }, dropped = 0;

	for (unsigned i = 0; i < 1000000; i++) {
		uint8_t query[512], out[1232];
		struct dns_seen seen;
		const char *why;
		size_t n = dns_ask(
			query, names[i % COUNT(names)], i % 7 ? DNS_A : DNS_PTR, i % 3 ? 1232 : 0);
		size_t answer;

		n = mutate(&seed, query, n);
		answer = respond(query, n, out, sizeof(out), i % 2);
		if (answer == 0) {
			dropped++;
			continue;
		}
		why = dns_look((struct bytes){ query, n }, (struct bytes){ out, answer }, &seen);
		check_row(!why, "mutation %u: %s", i, why);
		rcodes[seen.rcode]++;
	}
	/* the mutations reached every way out */
	assert_true(dropped > 1000);
	assert_true(rcodes[DNS_NOERROR] > 1000 && rcodes[DNS_FORMERR] > 1000);
	assert_true(rcodes[DNS_NXDOMAIN] > 1000 && rcodes[DNS_NOTIMP] > 1000);
	assert_true(rcodes[DNS_REFUSED] > 1000 && rcodes[DNS_BADVERS] > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(answers_what_is_asked), TEST(only_class_in),
		TEST(longest_names), TEST(refuses_what_is_wrong), TEST(takes_what_is_odd),
		TEST(drops_answers_and_crumbs), TEST(keeps_to_its_room), TEST(tells_its_own_room),
		TEST(a_million_mutations) };

	return RUN(tests);
}

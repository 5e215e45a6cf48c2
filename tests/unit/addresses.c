/*
 * unit/addresses.c - the net actor's address pool: nothing is given twice, nothing that is not a
 * machine's, and what was given back rests as long as it can.
 */
#include "actors/net/addresses.h"
#include "proto/check.h"
#include "tests/unit/unit.h"

static uint32_t ip(const char *text)
{
	uint32_t v;

	assert_true(parse_ipv4(text, strlen(text), &v));
	return v;
}

static void opened(struct addresses *a, const char *subnet)
{
	unsigned bits;
	uint32_t net;

	assert_true(parse_subnet(subnet, strlen(subnet), &net, &bits));
	assert_true(addresses_init(a, net, bits));
}

static void test_first(void **state UNUSED)
{
	struct addresses a;
	uint32_t v;

	opened(&a, "10.87.48.0/20");
	assert_int_equal(addresses_gateway(&a), ip("10.87.48.1"));
	assert_int_equal(addresses_most(&a), 4093);
	assert_true(addresses_find(&a, &v));
	assert_int_equal(v, ip("10.87.48.2"));
	assert_true(addresses_find(&a, &v));
	assert_int_equal(v, ip("10.87.48.3"));
	addresses_done(&a);
}

/* An address that was given back is the last to be given away again. */
static void test_rests(void **state UNUSED)
{
	struct addresses a;
	uint32_t first, v;

	opened(&a, "192.168.7.0/29");
	assert_true(addresses_find(&a, &first));
	addresses_give(&a, first);
	for (uint32_t i = 1; i < addresses_most(&a); i++) {
		assert_true(addresses_find(&a, &v));
		assert_int_not_equal(v, first);
	}
	assert_true(addresses_find(&a, &v));
	assert_int_equal(v, first);
	assert_false(addresses_find(&a, &v));
	addresses_done(&a);
}

static void test_full(void **state UNUSED)
{
	static const char *const subnets[] = { "10.1.0.0/16", "172.16.3.128/25", "10.0.0.4/30" };

	for (size_t i = 0; i < COUNT(subnets); i++) {
		struct addresses a;
		uint32_t v, lowest = UINT32_MAX, highest = 0, n = 0;

		opened(&a, subnets[i]);
		while (addresses_find(&a, &v)) {
			lowest = MIN(lowest, v);
			highest = MAX(highest, v);
			assert_false(addresses_take(&a, v));
			n++;
		}
		assert_int_equal(n, addresses_most(&a));
		assert_int_equal(lowest, a.net + 2);
		assert_int_equal(highest, (a.net | ~(~0u << (32 - a.bits))) - 1);
		addresses_give(&a, lowest);
		assert_true(addresses_find(&a, &v));
		assert_int_equal(v, lowest);
		addresses_done(&a);
	}
}

/* What a record names after a restart, and what it must not name. */
static void test_take(void **state UNUSED)
{
	static const char *const wrong[] = { "10.87.48.0", "10.87.48.1", "10.87.63.255",
		"10.87.64.0", "10.87.47.255", "0.0.0.0", "255.255.255.255", "127.0.0.1" };
	struct addresses a;
	uint32_t v;

	opened(&a, "10.87.48.0/20");
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_false(addresses_take(&a, ip(wrong[i])));
	assert_true(addresses_take(&a, ip("10.87.63.254")));
	assert_false(addresses_take(&a, ip("10.87.63.254")));
	assert_true(addresses_take(&a, ip("10.87.48.2")));
	assert_int_equal(a.taken, 2);
	assert_true(addresses_find(&a, &v));
	assert_int_equal(v, ip("10.87.48.3"));
	addresses_done(&a);
}

static void test_subnets(void **state UNUSED)
{
	static const char *const wrong[] = { "10.0.0.0/15", "10.0.0.0/31", "10.0.0.1/20",
		"10.87.49.0/20", "10.87.48.0", "10.87.48.0/", "x/20", "" };
	unsigned bits;
	uint32_t net;

	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_false(parse_subnet(wrong[i], strlen(wrong[i]), &net, &bits));
	assert_true(parse_subnet(SUBNET_DEFAULT, strlen(SUBNET_DEFAULT), &net, &bits));
	assert_null(check_subnet(SUBNET_DEFAULT, strlen(SUBNET_DEFAULT)));
}

/* What names no address is for this host alone. */
static void test_publish(void **state UNUSED)
{
	static const struct {
		const char *text;
		uint32_t address;
		uint16_t host, guest;
	} good[] = { { "8080:80", 0x7f000001, 8080, 80 }, { "1:65535", 0x7f000001, 1, 65535 },
		{ "127.0.0.2:9:8", 0x7f000002, 9, 8 }, { "0.0.0.0:9:8", 0, 9, 8 } };
	static const char *const bad[] = { "", ":", "80", "0:80", "80:0", ":80:80", "a:80",
		"80:65536", "1.2.3:80:80", "1.2.3.4:80", "127.0.0.1:1:2:3", " 80:80", "80:80 " };
	uint32_t address;
	uint16_t host, guest;

	for (size_t i = 0; i < COUNT(good); i++) {
		address = 1;
		assert_true(parse_publish(good[i].text, &address, &host, &guest));
		assert_int_equal(address, good[i].address);
		assert_int_equal(host, good[i].host);
		assert_int_equal(guest, good[i].guest);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(parse_publish(bad[i], &address, &host, &guest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first),
		TEST(test_rests),
		TEST(test_full),
		TEST(test_take),
		TEST(test_subnets),
		TEST(test_publish),
	};

	return RUN(tests);
}

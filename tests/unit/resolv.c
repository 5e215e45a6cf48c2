/*
 * unit/resolv.c - tests of reading a resolv.conf: servers that a guest can reach, in their order.
 */
#include "sys/resolv.h"
#include "tests/unit/unit.h"

static void test_texts(void **state UNUSED)
{
	static const struct {
		const char *text;
		unsigned n;
		uint32_t servers[3];
	} rows[] = {
		{ "", 0, { 0 } },
		{ "nameserver 192.168.1.1", 1, { 0xc0a80101 } },
		{ "# x\nsearch lan\nnameserver\t10.0.0.1 \nnameserver 10.0.0.2\r\n", 2,
			{ 0x0a000001, 0x0a000002 } },
		{ "nameserver 127.0.0.53\nnameserver 0.0.0.0\nnameserver 9.9.9.9\n", 1,
			{ 0x09090909 } },
		{ "nameserver fe80::1%eth0\nnameserver ::1\n", 0, { 0 } },
		{ "nameserver\nnameserver \nnameservers 1.2.3.4\n nameserver 1.2.3.4\n", 0, { 0 } },
		{ "nameserver 1.2.3.4.5\nnameserver 1.2.3\nnameserver 300.1.1.1\n", 0, { 0 } },
		{ "nameserver 1.1.1.1#c\nnameserver 2.2.2.2;c\nnameserver 3.3.3.3\nnameserver "
		  "4.4.4.4\n",
			3, { 0x01010101, 0x02020202, 0x03030303 } },
		{ "nameserver 1111111111111111111111111111111111111111111\n", 0, { 0 } },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint32_t got[3] = { 0 };

		assert_int_equal(resolv_servers(rows[i].text, got, 3), rows[i].n);
		assert_memory_equal(got, rows[i].servers, rows[i].n * sizeof(got[0]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_texts) };

	return RUN(tests);
}

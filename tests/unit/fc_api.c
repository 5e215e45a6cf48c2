/*
 * unit/fc_api.c - what Firecracker is asked, in which order, for which version; and what is made of
 * its answers.
 */
#include "tests/unit/unit.h"

#include "actors/vm/fc_api.h"
#include "tests/lib/fc_rules.h"

static const struct fc_version v1_7 = { 1, 7 }, v1_16 = { 1, 16 };

static const struct fc_machine small = { .vcpus = 2,
	.mem_mib = 512,
	.kernel = "/dev/null",
	.initrd = "/dev/null",
	.cmdline = "console=ttyS0 banger.name=\"a\\b\"",
	.disks = { { "root", "/dev/null", false, true }, { "modules", "/dev/null", true, false } },
	.disks_n = 2,
	.nics = { { "net0", "bngr-abc", "02:00:00:00:00:01" } },
	.nics_n = 1,
	.vsock = "/nonexistent/v.sock" };

static unsigned boot_of(
	const struct fc_machine *m, struct fc_version v, struct arena *a, struct fc_request *ret)
{
	struct why why;
	unsigned n;

	assert_int_equal(fc_boot(m, v, a, ret, &n, &why), OK);
	return n;
}

static void order_and_bodies(void **state UNUSED)
{
	static const struct fc_request want[] = {
		{ "PUT", "/logger", "{\"level\":\"Error\"}" },
		{ "PUT", "/serial", "{\"rate_limiter\":{\"size\":262144,\"refill_time\":500}}" },
		{ "PUT", "/machine-config", "{\"vcpu_count\":2,\"mem_size_mib\":512}" },
		{ "PUT", "/boot-source",
			"{\"kernel_image_path\":\"/dev/null\",\"initrd_path\":\"/dev/null\","
			"\"boot_args\":\"console=ttyS0 banger.name=\\\"a\\\\b\\\"\"}" },
		{ "PUT", "/drives/root",
			"{\"drive_id\":\"root\",\"is_root_device\":false,"
			"\"path_on_host\":\"/dev/null\",\"is_read_only\":false,"
			"\"cache_type\":\"Unsafe\"}" },
		{ "PUT", "/drives/modules",
			"{\"drive_id\":\"modules\",\"is_root_device\":false,"
			"\"path_on_host\":\"/dev/null\",\"is_read_only\":true,"
			"\"cache_type\":\"Writeback\"}" },
		{ "PUT", "/network-interfaces/net0",
			"{\"iface_id\":\"net0\",\"host_dev_name\":\"bngr-abc\","
			"\"guest_mac\":\"02:00:00:00:00:01\"}" },
		{ "PUT", "/vsock", "{\"guest_cid\":3,\"uds_path\":\"/nonexistent/v.sock\"}" },
		{ "PUT", "/entropy", "{}" },
		{ "PUT", "/actions", "{\"action_type\":\"InstanceStart\"}" },
	};
	struct arena a = { .max = 64 * KiB };
	struct fc_request got[FC_REQUESTS_MAX];

	assert_int_equal(boot_of(&small, v1_16, &a, got), COUNT(want));
	for (size_t i = 0; i < COUNT(want); i++) {
		assert_string_equal(got[i].method, want[i].method);
		assert_string_equal(got[i].path, want[i].path);
		assert_string_equal(got[i].body, want[i].body);
	}
	arena_done(&a);
}

static bool asks(const struct fc_request *v, unsigned n, const char *path)
{
	for (unsigned i = 0; i < n; i++)
		if (str_eq(v[i].path, path))
			return true;
	return false;
}

static void what_is_absent_is_not_written(void **state UNUSED)
{
	struct arena a = { .max = 64 * KiB };
	struct fc_request got[FC_REQUESTS_MAX];
	struct fc_machine m = small;
	unsigned n;

	m.initrd = NULL;
	m.nics[0].mac = NULL;
	n = boot_of(&m, v1_7, &a, got);
	assert_false(asks(got, n, "/serial"));
	for (unsigned i = 0; i < n; i++) {
		assert_null(strstr(got[i].body, "null,"));
		assert_null(strstr(got[i].body, "initrd_path"));
		assert_null(strstr(got[i].body, "guest_mac"));
	}
	arena_done(&a);
}

/* Every version's rules take every request, in this order. */
static void the_rules_take_them(void **state UNUSED)
{
	for (unsigned minor = FC_OLDEST.minor; minor <= 17; minor++) {
		struct fc_state s = { .minor = minor };
		struct arena a = { .max = 64 * KiB };
		struct fc_request q[FC_REQUESTS_MAX];
		unsigned n = boot_of(&small, (struct fc_version){ 1, minor }, &a, q);
		char out[1024];
		bool start = false;

		snprintf(s.version, sizeof(s.version), "1.%u.0", minor);
		for (unsigned i = 0; i < n; i++) {
			unsigned status = fc_rules_take(&s, q[i].method, q[i].path, q[i].body,
				strlen(q[i].body), out, sizeof(out), &start);

			check_row(status == 204, "1.%u: %s: %s", minor, q[i].path, out);
			assert_int_equal(start, i == n - 1);
		}
		arena_done(&a);
	}
}

static void ceilings(void **state UNUSED)
{
	struct fc_request got[FC_REQUESTS_MAX];
	char line[FC_CMDLINE_MAX + 2];
	struct fc_machine m = small;
	struct why why;
	unsigned n;

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	m.cmdline = line;
	for (int i = 0; i < 2; i++) {
		struct arena a = { .max = 64 * KiB };

		assert_int_equal(fc_boot(&m, v1_16, &a, got, &n, &why), i ? OK : ERR_too_large);
		line[FC_CMDLINE_MAX] = '\0';
		arena_done(&a);
	}
	for (size_t max = 1;; max += 64) {
		struct arena a = { .max = max };
		enum err e = fc_boot(&small, v1_16, &a, got, &n, &why);

		arena_done(&a);
		if (e == OK) {
			assert_true(max > 512);
			return;
		}
		assert_int_equal(e, ERR_no_memory);
	}
}

static void versions(void **state UNUSED)
{
	static const struct {
		const char *body;
		enum err e;
		unsigned minor;
	} rows[] = {
		{ "{\"firecracker_version\":\"1.16.1\"}", OK, 16 },
		{ "{\"firecracker_version\":\"1.17.0-dev\"}", OK, 17 },
		{ "{\"firecracker_version\":\"1.5.0\",\"more\":1}", OK, 5 },
		{ "{\"firecracker_version\":\"1.4.9\"}", ERR_unsupported, 0 },
		{ "{\"firecracker_version\":\"0.25.0\"}", ERR_unsupported, 0 },
		{ "{\"firecracker_version\":\"1\"}", ERR_vmm_failed, 0 },
		{ "{\"firecracker_version\":\"1.99999.1\"}", ERR_vmm_failed, 0 },
		{ "{\"firecracker_version\":\"1.-6.1\"}", ERR_vmm_failed, 0 },
		{ "{\"firecracker_version\":\"..\"}", ERR_vmm_failed, 0 },
		{ "{\"firecracker_version\":16}", ERR_vmm_failed, 0 },
		{ "{\"firecracker_version\":\"1.16.1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
			ERR_vmm_failed, 0 },
		{ "[]", ERR_vmm_failed, 0 },
		{ "", ERR_vmm_failed, 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bytes b = { (const uint8_t *)rows[i].body, strlen(rows[i].body) };
		struct fc_version v = { 0, 0 };
		char text[32];
		struct why why;
		enum err e = fc_take_version(b, &v, text, sizeof(text), &why);

		check_row(e == rows[i].e, "%s: %s", rows[i].body, why.text);
		check_row(e || v.minor == rows[i].minor, "%s", rows[i].body);
	}
}

static void faults(void **state UNUSED)
{
	static const struct fc_request q = { "PUT", "/vsock", "{}" };
	struct why why;

	assert_int_equal(fc_check(&q, 204, BYTES(""), &why), OK);
	assert_int_equal(fc_check(&q, 200, BYTES("{}"), &why), OK);
	assert_int_equal(fc_check(&q, 400, BYTES("{\"fault_message\":\"no\\u0007 way\"}"), &why),
		ERR_vmm_failed);
	assert_non_null(strstr(why.text, "PUT /vsock"));
	assert_non_null(strstr(why.text, "way"));
	assert_int_equal(
		fc_check(&q, 400, BYTES("{ \"error\": \"bad HTTP\" }"), &why), ERR_vmm_failed);
	assert_non_null(strstr(why.text, "bad HTTP"));
	assert_int_equal(fc_check(&q, 503, BYTES("<html>"), &why), ERR_vmm_failed);
	assert_non_null(strstr(why.text, "503"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(order_and_bodies),
		TEST(what_is_absent_is_not_written),
		TEST(the_rules_take_them),
		TEST(ceilings),
		TEST(versions),
		TEST(faults),
	};

	return RUN(tests);
}

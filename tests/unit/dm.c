/*
 * unit/dm.c - requests to the device-mapper byte by byte, and its answers, sound and not.
 */
#include "tests/unit/unit.h"

#include <linux/dm-ioctl.h>

#include "sys/dm.h"

static struct dm_ioctl head_of(const struct dm_request *r)
{
	struct dm_ioctl h;

	memcpy(&h, r->bytes, sizeof(h));
	return h;
}

static void requests(void **state UNUSED)
{
	struct dm_target t = { 20480, "snapshot", "7:0 7:1 P 8" };
	struct dm_target_spec spec;
	struct dm_request r;
	struct dm_ioctl h;

	assert_true(dm_pack(&r, "fc-rootfs-aa", "BANGER-aa-1", &t));
	h = head_of(&r);
	assert_int_equal(h.version[0], 4);
	assert_int_equal(h.data_size, sizeof(r.bytes));
	assert_int_equal(h.target_count, 1);
	assert_string_equal(h.name, "fc-rootfs-aa");
	assert_string_equal(h.uuid, "BANGER-aa-1");
	assert_int_equal(h.data_start % 8, 0);
	assert_true(h.data_start >= sizeof(h));
	memcpy(&spec, r.bytes + h.data_start, sizeof(spec));
	assert_int_equal(spec.sector_start, 0);
	assert_int_equal(spec.length, 20480);
	assert_string_equal(spec.target_type, "snapshot");
	assert_int_equal(spec.next % 8, 0);
	assert_true(spec.next >= sizeof(spec) + strlen(t.params) + 1);
	assert_string_equal((char *)r.bytes + h.data_start + sizeof(spec), "7:0 7:1 P 8");
	assert_true(dm_pack(&r, "x", NULL, NULL));
	assert_int_equal(head_of(&r).target_count, 0);
}

static void too_long(void **state UNUSED)
{
	char name[DM_NAME_BYTES + 2], uuid[DM_UUID_BYTES + 2], params[DM_REQUEST_BYTES];
	struct dm_target t = { 8, "snapshot", params };
	struct dm_request r;

	memset(name, 'n', sizeof(name));
	memset(uuid, 'u', sizeof(uuid));
	memset(params, 'p', sizeof(params));
	name[sizeof(name) - 1] = uuid[sizeof(uuid) - 1] = params[sizeof(params) - 1] = '\0';
	assert_false(dm_pack(&r, name, NULL, NULL));
	assert_false(dm_pack(&r, "", NULL, NULL));
	assert_true(dm_pack(&r, name + 1, NULL, NULL));
	assert_false(dm_pack(&r, "x", uuid, NULL));
	assert_true(dm_pack(&r, "x", uuid + 1, NULL));
	assert_false(dm_pack(&r, "x", NULL, &t));
	t.params = params + 400;
	assert_true(dm_pack(&r, "x", NULL, &t));
	t.type = "a-type-of-16-byt";
	assert_false(dm_pack(&r, "x", NULL, &t));
}

/* An answer as the kernel would leave it. */
static struct dm_request answer(uint32_t start, uint32_t targets, uint32_t flags)
{
	struct dm_request r;
	struct dm_ioctl h;

	must(dm_pack(&r, "x", NULL, NULL));
	h = head_of(&r);
	h.data_start = start;
	h.target_count = targets;
	h.flags = flags;
	memcpy(r.bytes, &h, sizeof(h));
	return r;
}

static void statuses(void **state UNUSED)
{
	const size_t spec = sizeof(struct dm_target_spec), start = sizeof(struct dm_ioctl);
	struct dm_request r = answer((uint32_t)start, 1, 0);
	char text[32];

	memcpy(r.bytes + start + spec, "16/4096 16", 11);
	assert_true(dm_read_status(&r, text, sizeof(text)));
	assert_string_equal(text, "16/4096 16");
	assert_false(dm_read_status(&r, text, 10));
	r = answer((uint32_t)start, 0, 0);
	assert_false(dm_read_status(&r, text, sizeof(text)));
	r = answer((uint32_t)start, 1, DM_BUFFER_FULL_FLAG);
	assert_false(dm_read_status(&r, text, sizeof(text)));
	for (uint32_t at = 0; at < start; at += 7) {
		r = answer(at, 1, 0);
		assert_false(dm_read_status(&r, text, sizeof(text)));
	}
	for (uint32_t at = DM_REQUEST_BYTES - (uint32_t)spec; at < DM_REQUEST_BYTES + 64; at++) {
		r = answer(at, 1, 0);
		assert_false(dm_read_status(&r, text, sizeof(text)));
	}
	r = answer(UINT32_MAX, 1, 0);
	assert_false(dm_read_status(&r, text, sizeof(text)));
	r = answer((uint32_t)start, 1, 0); /* no NUL up to the end */
	memset(r.bytes + start + spec, 'x', sizeof(r.bytes) - start - spec);
	assert_false(dm_read_status(&r, text, sizeof(text)));
}

static void depends(void **state UNUSED)
{
	const uint32_t start = sizeof(struct dm_ioctl);
	struct dm_request r = answer(start, 0, 0);
	uint64_t devs[2] = { 0x700, 0x701 };
	dev_t got[DM_DEPENDS_MAX];
	uint32_t n = 2;
	unsigned got_n;

	memcpy(r.bytes + start, &n, sizeof(n));
	memcpy(r.bytes + start + 8, devs, sizeof(devs));
	assert_true(dm_read_depends(&r, got, &got_n));
	assert_int_equal(got_n, 2);
	assert_int_equal(got[0], 0x700);
	assert_int_equal(got[1], 0x701);
	for (n = DM_DEPENDS_MAX + 1; n; n = n < 1u << 31 ? n * 2 : 0) {
		memcpy(r.bytes + start, &n, sizeof(n));
		assert_false(dm_read_depends(&r, got, &got_n));
	}
	r = answer(DM_REQUEST_BYTES - 8 - 8, 0, 0);
	n = 2;
	memcpy(r.bytes + DM_REQUEST_BYTES - 16, &n, sizeof(n));
	assert_false(dm_read_depends(&r, got, &got_n));
	r = answer(DM_REQUEST_BYTES - 4, 0, 0);
	assert_false(dm_read_depends(&r, got, &got_n));
}

static void fills(void **state UNUSED)
{
	static const char *const bad[] = { "", "1", "1/2", "1/2 ", "1/2 3 ", "/2 3", "1 /2 3",
		"-1/2 3", "1/2 x", "99999999999999999999/1 1", "184467440737095516150/1 1",
		"invalid", "Invalid " };
	static const char *const lost[] = { "Invalid", "Overflow", "Merge failed" };
	struct dm_fill f;

	assert_true(dm_read_snapshot("16/4096 8", &f));
	assert_true(f.valid && f.used == 16 && f.total == 4096 && f.metadata == 8);
	for (size_t i = 0; i < COUNT(lost); i++)
		check_row(dm_read_snapshot(lost[i], &f) && !f.valid, "%s", lost[i]);
	for (size_t i = 0; i < COUNT(bad); i++)
		check_row(!dm_read_snapshot(bad[i], &f), "'%s'", bad[i]);
}

static void headers(void **state UNUSED)
{
	static const struct {
		const char *bytes;
		enum snapshot_header is;
	} rows[] = {
		{ "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", SNAPSHOT_NEW },
		{ "\0\0\0\0zzzzzzzzzzzz", SNAPSHOT_NEW },
		{ "SnAp\1\0\0\0\1\0\0\0\10\0\0\0", SNAPSHOT_GOOD },
		{ "SnAp\0\0\0\0\1\0\0\0\10\0\0\0", SNAPSHOT_LOST },
		{ "SnAp\1\0\0\0\2\0\0\0\10\0\0\0", SNAPSHOT_STRANGE },
		{ "SnAp\1\0\0\0\1\0\0\0\0\0\20\0", SNAPSHOT_STRANGE },
		{ "SnAp\1\0\0\0\1\0\0\0\0\0\0\0", SNAPSHOT_STRANGE },
		{ "SnAp\1\0\0\0\1\0\0\0\10\0\0\1", SNAPSHOT_STRANGE },
		{ "snap\1\0\0\0\1\0\0\0\10\0\0\0", SNAPSHOT_STRANGE },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		check_row(snapshot_header((const uint8_t *)rows[i].bytes, 8) == rows[i].is,
			"row %zu", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(requests), TEST(too_long), TEST(statuses),
		TEST(depends), TEST(fills), TEST(headers) };

	return RUN(tests);
}

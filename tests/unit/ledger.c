/*
 * unit/ledger.c - the helper's ledger: what was noted is there again, what was forgotten is not, a
 * torn end costs its record only, a boot ends what the kernel held, and compacting loses nothing.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/ledger.h"
#include "sys/beneath.h"

static char path[] = "/tmp/banger-ledger-XXXXXX";
static int dir = -1;

static int make_dir(void **state UNUSED)
{
	snprintf(path, sizeof(path), "/tmp/banger-ledger-XXXXXX");
	dir = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return dir < 0;
}

static int drop_dir(void **state UNUSED)
{
	int top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err e = remove_tree(top, path + strlen("/tmp/"), NULL);

	close(top);
	close(dir);
	return e != OK;
}

static struct ledger *open_at(const char *boot)
{
	struct ledger *l = NULL;
	struct why why;

	check_row(ledger_open(dir, boot, &l, &why) == OK, "%s", why.text);
	return l;
}

static void note(struct ledger *l, enum priv_thing kind, const char *name, uint64_t number)
{
	struct priv_entry r = { .kind = kind,
		.name = name,
		.made = 1,
		.number = number,
		.has_number = number > 0,
		.detail = number ? "some detail" : NULL };
	struct why why;

	check_row(ledger_note(l, &r, &why) == OK, "%s", why.text);
}

static off_t size_of(void)
{
	struct stat st;

	assert_int_equal(fstatat(dir, ".ledger", &st, 0), 0);
	return st.st_size;
}

static void things_stay(void **state UNUSED)
{
	struct ledger *l = open_at("boot");
	const struct priv_entry *r;

	note(l, priv_thing_tap, "bngr-a", 7);
	note(l, priv_thing_tap, "bngr-b", 8);
	note(l, priv_thing_bridge, "bngr-a", 9); /* another kind */
	note(l, priv_thing_tap, "bngr-a", 10); /* replaces */
	assert_int_equal(ledger_forget(l, priv_thing_tap, "bngr-b", NULL), OK);
	assert_int_equal(ledger_forget(l, priv_thing_tap, "nobody", NULL), OK);
	for (int again = 0; again < 3; again++) {
		assert_int_equal(ledger_count(l, priv_thing_tap), 1);
		assert_int_equal(ledger_count(l, priv_thing_bridge), 1);
		assert_null(ledger_find(l, priv_thing_tap, "bngr-b"));
		r = ledger_find(l, priv_thing_tap, "bngr-a");
		assert_non_null(r);
		assert_int_equal(r->number, 10);
		assert_string_equal(r->detail, "some detail");
		ledger_close(l);
		l = open_at("boot");
	}
	ledger_close(l);
}

static void a_boot_ends_what_the_kernel_held(void **state UNUSED)
{
	struct ledger *l = open_at("one");

	note(l, priv_thing_tap, "bngr-a", 7);
	note(l, priv_thing_forward, "ip_forward", 0);
	note(l, priv_thing_jail, "qemu/ab12", 0);
	ledger_close(l);
	l = open_at("two");
	assert_null(ledger_find(l, priv_thing_tap, "bngr-a"));
	assert_null(ledger_find(l, priv_thing_forward, "ip_forward"));
	assert_non_null(ledger_find(l, priv_thing_jail, "qemu/ab12"));
	ledger_close(l);
}

/* Cut at each byte: the records before the cut are there, and new ones can be written. */
static void torn_ends(void **state UNUSED)
{
	struct ledger *l = open_at("boot");
	off_t one, two;

	note(l, priv_thing_tap, "bngr-a", 7);
	one = size_of();
	note(l, priv_thing_tap, "bngr-b", 8);
	two = size_of();
	ledger_close(l);
	for (off_t cut = two - 1; cut >= one; cut--) {
		own_fd fd = openat(dir, ".ledger", O_RDWR | O_CLOEXEC);

		assert_int_equal(ftruncate(fd, cut), 0);
		l = open_at("boot");
		check_row(ledger_find(l, priv_thing_tap, "bngr-a"), "cut at %ld", (long)cut);
		check_row(!ledger_find(l, priv_thing_tap, "bngr-b"), "cut at %ld", (long)cut);
		note(l, priv_thing_tap, "bngr-b", 8);
		ledger_close(l);
		assert_int_equal(size_of(), two);
	}
}

/* Any one byte turned: it opens, and holds nothing that was not written. */
static void turned_bytes(void **state UNUSED)
{
	struct ledger *l = open_at("boot");
	off_t size;

	note(l, priv_thing_tap, "bngr-a", 7);
	note(l, priv_thing_tap, "bngr-b", 8);
	size = size_of();
	ledger_close(l);
	for (off_t at = 0; at < size; at++) {
		own_buf b = { .max = 65536 };
		own_buf before = { .max = 65536 };

		assert_int_equal(read_file(dir, ".ledger", 65536, &before, NULL), OK);
		buf_add(&b, before.p, before.n);
		b.p[at] ^= 0x55;
		assert_int_equal(
			write_file(dir, ".ledger", 0600, (struct bytes){ b.p, b.n }, NULL), OK);
		l = open_at("boot");
		check_row(ledger_count(l, priv_thing_tap) <= 2, "byte %ld", (long)at);
		for (enum priv_thing k = 0; k < priv_thing_COUNT; k++)
			check_row(k == priv_thing_tap || ledger_count(l, k) == 0, "byte %ld",
				(long)at);
		ledger_close(l);
		assert_int_equal(write_file(dir, ".ledger", 0600,
					 (struct bytes){ before.p, before.n }, NULL),
			OK);
	}
}

static void it_stays_small(void **state UNUSED)
{
	struct ledger *l = open_at("boot");

	note(l, priv_thing_bridge, "br-bngr", 3);
	for (int i = 0; i < 20000; i++) {
		note(l, priv_thing_tap, "bngr-a", (uint64_t)i + 1);
		assert_int_equal(ledger_forget(l, priv_thing_tap, "bngr-a", NULL), OK);
	}
	check_row(size_of() < 2 * 1048576, "%ld bytes", (long)size_of());
	assert_non_null(ledger_find(l, priv_thing_bridge, "br-bngr"));
	ledger_close(l);
}

static void it_has_a_ceiling(void **state UNUSED)
{
	struct ledger *l = open_at("boot");
	struct priv_entry r = { .kind = priv_thing_tap, .name = "one more", .made = 1 };
	char name[32];
	struct why why;

	for (int i = 0; i < LEDGER_ENTRIES_MAX; i++) {
		snprintf(name, sizeof(name), "thing-%d", i);
		note(l, priv_thing_tap, name, 0);
	}
	assert_int_equal(ledger_note(l, &r, &why), ERR_busy);
	assert_int_equal(ledger_forget(l, priv_thing_tap, "thing-5", NULL), OK);
	assert_int_equal(ledger_note(l, &r, &why), OK);
	ledger_close(l);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, make_dir, drop_dir)

int main(void)
{
	const struct CMUnitTest tests[] = { CASE(things_stay),
		CASE(a_boot_ends_what_the_kernel_held), CASE(torn_ends), CASE(turned_bytes),
		CASE(it_stays_small), CASE(it_has_a_ceiling) };

	return RUN(tests);
}

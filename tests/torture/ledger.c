/*
 * torture/ledger.c - the helper's ledger while allocations and system calls fail: what it said it
 * noted is there when it is opened again, and what it said it forgot is not.
 */
#include "tests/torture/torture.h"

#include <fcntl.h>
#include <unistd.h>

#include "helper/ledger.h"
#include "sys/beneath.h"

static bool note(struct ledger *l, const char *name)
{
	struct priv_entry r = {
		.kind = priv_thing_tap, .name = name, .made = 1, .detail = "br-bngr 10.87.48.2"
	};
	struct why why;

	if (ledger_note(l, &r, &why) == OK)
		return true;
	torture_must(torture_struck());
	return false;
}

static void look_again(int dir, bool first, bool second, bool forgotten)
{
	struct ledger *l = NULL;
	struct why why;

	torture_off();
	must(!ledger_open(dir, "boot", &l, &why));
	torture_must(!second || ledger_find(l, priv_thing_tap, "bngr-b"));
	torture_must(!first || forgotten || ledger_find(l, priv_thing_tap, "bngr-a"));
	torture_must(!forgotten || !ledger_find(l, priv_thing_tap, "bngr-a"));
	ledger_close(l);
	torture_on();
}

static void life(void)
{
	char path[] = "/tmp/banger-torture-XXXXXX";
	struct ledger *l = NULL;
	bool first = false, second = false, forgotten = false;
	struct why why;
	int dir, top;

	torture_off();
	must(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir >= 0 && top >= 0);
	torture_on();
	if (ledger_open(dir, "boot", &l, &why) == OK) {
		first = note(l, "bngr-a");
		second = note(l, "bngr-b");
		forgotten = first && ledger_forget(l, priv_thing_tap, "bngr-a", &why) == OK;
		torture_must(!first || forgotten || torture_struck());
		ledger_close(l);
	} else {
		torture_must(torture_struck());
	}
	look_again(dir, first, second, forgotten);
	torture_off();
	must(!remove_tree(top, path + strlen("/tmp/"), &why));
	close(dir);
	close(top);
	torture_on();
}

static const struct scenario scenarios[] = {
	{ .name = "the ledger from opening to closing", .run = life },
};

TORTURE(scenarios)

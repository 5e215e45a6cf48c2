/*
 * torture/world.c - the Linux side of the seam while memory and the kernel say no: files, layers,
 * commits that stand on them, a listener with its connection, a child. Each asks for what the
 * daemon asks for; what was told done is done, and each is told once.
 */
#include "tests/torture/torture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "world/world_linux.h"

struct rig {
	char path[40], run[48];
	int dir, top;
	struct loop *loop;
	struct world *w;
	struct turn_hook hook;
	unsigned told, broke, accepted, ended, closed;
	enum err code;
	struct chan *ours, *theirs;
};

static bool flush(void *ctx)
{
	world_store_flush(((struct rig *)ctx)->w);
	return false;
}

static void on_broke(void *ctx, const struct why *why UNUSED)
{
	((struct rig *)ctx)->broke++;
}

static void place_begin(struct rig *r)
{
	torture_off();
	*r = (struct rig){ .dir = -1 };
	snprintf(r->path, sizeof(r->path), "/tmp/banger-torture-XXXXXX");
	must(mkdtemp(r->path));
	snprintf(r->run, sizeof(r->run), "%s/run", r->path);
	r->dir = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r->top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(r->dir >= 0 && r->top >= 0 && mkdirat(r->dir, "run", 0700) == 0);
	torture_on();
}

static bool rig_begin(struct rig *r)
{
	struct why why = { .text = "" };

	place_begin(r);
	if (loop_new(&r->loop, &why) == OK &&
		world_linux_new(r->loop, r->path, r->run, 1, &r->w, &why) == OK) {
		world_on_store_broken(r->w, on_broke, r);
		turn_hook_add(r->loop, &r->hook, flush, r);
		return true;
	}
	torture_must(torture_struck() && why.text[0]);
	return false;
}

static void rig_end(struct rig *r)
{
	struct why why;

	chan_close(r->ours);
	chan_close(r->theirs);
	turn_hook_del(&r->hook);
	world_linux_free(r->w);
	loop_free(r->loop);
	torture_off();
	must(!remove_tree(r->top, r->path + strlen("/tmp/"), &why));
	close(r->dir);
	close(r->top);
	torture_on();
}

/* What may fail when something was made to fail, and not else. */
static bool did(enum err e, const struct why *why)
{
	torture_must(e == OK || (torture_struck() && why->code == e && why->text[0]));
	return e == OK;
}

/* ---- files, and a commit that stands on them ---- */

static void told(void *ctx, const struct why *why)
{
	struct rig *r = ctx;

	r->told++;
	r->code = why ? why->code : OK;
}

/* True when it was told to be on disk. */
static bool commit(struct rig *r, const char *key)
{
	struct kv_waiter waiter = { .done = told, .ctx = r };
	struct kv_batch b = { .b = { .max = 4 * KiB } };

	kv_batch_put(&b, key, (struct bytes){ (const uint8_t *)"x", 1 });
	r->told = 0;
	world_kv_commit(r->w, &b, &waiter);
	while (!r->told && !r->broke)
		loop_turn(r->loop, true);
	torture_must(r->told + r->broke == 1);
	torture_must((r->told && r->code == OK) || torture_struck());
	return r->told && r->code == OK;
}

static bool make_machine(struct rig *r)
{
	static const struct bytes text = { (const uint8_t *)"text", 4 };
	struct why why;

	return did(world_mkdir(r->w, STATE, "vm/q7.new", &why), &why) &&
	       did(world_write(r->w, STATE, "vm/q7.new/note", text, &why), &why) &&
	       did(world_append(r->w, STATE, "vm/q7.new/note", text, &why), &why) &&
	       did(world_overlay(r->w, "vm/q7.new/root.qcow2", STATE, "image/root", MiB, &why),
		       &why) &&
	       did(world_rename(r->w, STATE, "vm/q7.new", "vm/q7", &why), &why);
}

static bool one_name(void *ctx, const char *key UNUSED, struct bytes value UNUSED)
{
	++*(unsigned *)ctx;
	return true;
}

/* With everything working again. */
static void check_made(struct rig *r)
{
	unsigned records = 0;
	struct stat st;
	struct kv *kv;
	struct why why;

	torture_must(fstatat(r->dir, "vm/q7/note", &st, 0) == 0 && st.st_size == 8);
	torture_must(fstatat(r->dir, "vm/q7/root.qcow2", &st, 0) == 0 && st.st_size > 0);
	must(!kv_open(r->dir, r->path, 1, NULL, 0, &kv, &why));
	must(!kv_scan(kv, "vm/q7", NULL, one_name, &records, &why));
	torture_must(records == 1);
	kv_close(kv);
}

static void names(void *ctx, const char *name UNUSED)
{
	++*(unsigned *)ctx;
}

static void look_around(struct rig *r)
{
	uint64_t size = 0, used = 0, left = 0;
	own_buf text = { .max = KiB };
	unsigned n = 0;
	struct why why;

	if (did(world_size(r->w, STATE, "vm/q7/note", &size, &used, &why), &why))
		torture_must(size == 8);
	if (did(world_read(r->w, STATE, "vm/q7/note", 100, &text, &why), &why))
		torture_must(text.n == 8);
	if (did(world_list(r->w, STATE, "vm/q7", names, &n, &why), &why))
		torture_must(n == 2);
	if (did(world_free_space(r->w, STATE, &left, &why), &why))
		torture_must(left > 0);
	(void)did(world_resize(r->w, "vm/q7/note", 5, &why), &why);
}

static void files(void)
{
	bool made = false, committed = false;
	struct rig r;

	if (rig_begin(&r)) {
		made = make_machine(&r);
		if (made)
			world_settle(r.w, "vm/q7");
		committed = made && commit(&r, "vm/q7");
		torture_off();
		if (committed)
			check_made(&r);
		torture_on();
		if (made)
			look_around(&r);
	}
	torture_must(committed || torture_struck());
	rig_end(&r);
}

/* ---- a connection ---- */

static size_t on_bytes(void *ctx UNUSED, const uint8_t *p UNUSED, size_t n)
{
	return n;
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	((struct rig *)ctx)->closed++;
}

static const struct chan_user user = { .data = on_bytes, .closed = on_closed };

static void on_accept(void *ctx, struct chan *c, const struct world_peer *peer)
{
	struct rig *r = ctx;

	torture_must(peer->uid == geteuid());
	chan_user_set(c, &user, r);
	r->theirs = c;
	r->accepted++;
}

static void late(void *ctx)
{
	++*(unsigned *)ctx;
}

static void connection(void)
{
	struct world_listener *l = NULL;
	struct timer patience = { .fn = NULL };
	unsigned over = 0;
	struct why why;
	struct rig r;

	if (rig_begin(&r) && did(world_listen(r.w, "s", -1, on_accept, &r, &l, &why), &why) &&
		did(world_connect(r.w, "s", &user, &r, &r.ours, &why), &why)) {
		/* one that fails is given up, or tried again after a while */
		timer_start(r.loop, &patience, 1000, late, &over);
		while (!r.accepted && !r.closed && !over)
			loop_turn(r.loop, true);
		timer_stop(&patience);
		torture_must(r.accepted == 1 || torture_struck());
	}
	world_listener_free(l);
	rig_end(&r);
}

/* ---- a child ---- */

static void on_exit_of(void *ctx, int status)
{
	struct rig *r = ctx;

	r->ended++;
	torture_must(status == 0 || torture_struck());
}

static void a_child(void)
{
	char name[] = "true", *argv[] = { name, NULL };
	struct child_spec spec = { .program = "/bin/true",
		.argv = argv,
		.letters = true,
		.log = "log",
		.sockets = { { "q", 5 } },
		.sockets_n = 1 };
	struct child *c = NULL;
	struct why why;
	struct rig r;

	if (rig_begin(&r) &&
		did(world_spawn(r.w, &spec, on_exit_of, &r, &c, &r.ours, &why), &why)) {
		chan_user_set(r.ours, &user, &r);
		while (!r.ended)
			loop_turn(r.loop, true);
		torture_must(r.ended == 1);
	}
	child_free(c);
	rig_end(&r);
}

static const struct scenario scenarios[] = {
	{ .name = "files and a commit", .run = files },
	{ .name = "a listener and a connection", .run = connection },
	{ .name = "a child with letters", .run = a_child },
};

TORTURE(scenarios)

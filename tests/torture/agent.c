/*
 * torture/agent.c - what the agent reads and writes of its guest while memory and the kernel say
 * no: users, files of the image, numbers. A file is whole or as it was.
 */
#include "tests/torture/torture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/account.h"
#include "agent/conf.h"
#include "agent/image.h"
#include "agent/procfs.h"
#include "sys/beneath.h"

static const struct bytes passwd = { (const uint8_t *)"root:x:0:0::/root:/bin/sh\n"
						      "me:x:7:8::/home/me:/bin/zsh\n",
	54 };
static const struct bytes group = { (const uint8_t *)"staff:x:50:me\n", 14 };

struct rig {
	char path[40];
	int root, top;
};

static void rig_begin(struct rig *r)
{
	struct why why;

	torture_off();
	snprintf(r->path, sizeof(r->path), "/tmp/banger-torture-XXXXXX");
	must(mkdtemp(r->path));
	r->root = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r->top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(r->root >= 0 && r->top >= 0 && !make_dirs(r->root, "etc", &why));
	must(!write_file(r->root, "etc/passwd", 0644, passwd, &why));
	must(!write_file(r->root, "etc/group", 0644, group, &why));
	must(symlinkat("/etc/there", r->root, "etc/resolv.conf") == 0);
	must(!write_file(r->root, "etc/there", 0644, (struct bytes){ passwd.p, 4 }, &why));
	torture_on();
}

static void rig_end(struct rig *r)
{
	struct why why;

	torture_off();
	must(!remove_tree(r->top, r->path + strlen("/tmp/"), &why));
	close(r->root);
	close(r->top);
	torture_on();
}

static void users(void)
{
	struct why why = { .text = "" };
	struct account who;
	struct arena a;
	struct rig r;
	enum err e;

	rig_begin(&r);
	arena_init(&a, 0);
	e = account_find(r.root, "me", &a, &who, &why);
	if (e == OK) {
		torture_must(who.uid == 7 && who.gid == 8 && str_eq(who.home, "/home/me"));
		torture_must(who.groups_n == 1 && who.groups[0] == 50);
		torture_must(str_eq(who.shell, "/bin/zsh"));
	}
	torture_must(e == OK || (torture_struck() && why.text[0]));
	arena_done(&a);
	rig_end(&r);
}

static void files(void)
{
	static const char text[] = "nameserver 10.0.2.3\n";
	struct why why = { .text = "" };
	own_buf now = { .p = NULL };
	struct rig r;
	enum err e;
	int dir;

	rig_begin(&r);
	dir = image_dir(r.root, "home/me/deep", geteuid(), getegid());
	torture_must(dir >= 0 || torture_struck());
	fd_done(&dir);
	e = image_write(r.root, "/etc/resolv.conf", text, sizeof(text) - 1, 0644, false, &why);
	torture_must(e == OK || (torture_struck() && why.text[0]));
	torture_off();
	must(!image_read(r.root, "/etc/resolv.conf", 100, &now, &why));
	torture_must(now.n == (e == OK ? sizeof(text) - 1 : 4));
	buf_done(&now);
	torture_on();
	why.text[0] = '\0';
	e = image_read(r.root, "/etc/passwd", 1000, &now, &why);
	torture_must(e == OK ? now.n == passwd.n : torture_struck() && why.text[0]);
	rig_end(&r);
}

static void numbers(void)
{
	struct conf c;
	char bad[64];

	conf_load(&c, bad, sizeof(bad));
	torture_must(strnlen(bad, sizeof(bad)) < sizeof(bad));
	torture_must(proc_count() > 0 || torture_struck());
	(void)proc_load_milli();
	(void)proc_cpu_ms();
}

static const struct scenario scenarios[] = {
	{ .name = "a user of the image", .run = users },
	{ .name = "files of the image", .run = files },
	{ .name = "numbers of the guest", .run = numbers },
};

TORTURE(scenarios)

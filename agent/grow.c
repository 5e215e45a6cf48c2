/*
 * grow.c - agent.grow: the work disk grew under a running guest, and its filesystem follows.
 *
 * The host's word may come before the kernel's own news of the bigger disk, so that is waited for.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/disk.h"
#include "agent/handlers.h"
#include "agent/image.h"
#include "agent/uevent.h"

enum { GROW_WAIT_MS = 10000 };

struct grow {
	struct pending pending; /* first */
	struct agent *agent;
	int uevents;
	struct watch watch;
	struct timer deadline;
	uint64_t size;
	char disk[DISK_PATH_BYTES];
};

static void grow_free(struct grow *g)
{
	watch_stop(&g->watch);
	timer_stop(&g->deadline);
	fd_done(&g->uevents);
	free(g);
}

static void drop(struct pending *p)
{
	grow_free((struct grow *)p);
}

/* why->code OK: the filesystem has grown. */
static void over(struct grow *g, const struct why *why)
{
	struct session *s = g->pending.session;
	struct nothing none;

	pending_done(&g->pending);
	if (why->code)
		refuse(s, g->pending.msgid, why);
	else
		answer(s, g->pending.msgid, LETTER_agent_grow, &none);
	grow_free(g);
}

static bool disk_is_there(const struct grow *g)
{
	own_fd disk = open(g->disk, O_RDONLY | O_CLOEXEC);
	uint64_t size = 0;

	return disk >= 0 && ioctl(disk, BLKGETSIZE64, &size) == 0 && size >= g->size;
}

static void fill(struct grow *g)
{
	const struct agent *a = g->agent;
	own_fd fs = image_open(a->root, a->conf.home, O_RDONLY | O_DIRECTORY);
	struct why why = { .code = OK };

	(void)!disk_grow(g->disk, fd_path(fs).s, &why);
	over(g, &why);
}

static void look(void *ctx, int events UNUSED)
{
	struct grow *g = ctx;

	uevent_drain(g->uevents);
	if (disk_is_there(g))
		fill(g);
}

static void too_late(void *ctx)
{
	struct grow *g = ctx;
	struct why why;

	fail(&why, ERR_timeout, "the guest's kernel does not see a bigger work disk");
	over(g, &why);
}

void on_grow(const struct request *r)
{
	struct agent *a = r->session->agent;
	struct grow *g = a->conf.home[0] ? calloc(1, sizeof(*g)) : NULL;
	struct why why;

	if (!g) {
		fail(&why, a->conf.home[0] ? ERR_no_memory : ERR_not_found,
			"this guest has no work disk, or no memory");
		refuse(r->session, r->msgid, &why);
		return;
	}
	g->agent = a;
	g->size = ((const struct agent_grow *)r->body)->size;
	g->uevents = uevent_open(); /* before the first look, so that no news is missed */
	pending_add(r->session, &g->pending, r->msgid, drop);
	if (!disk_find("work", a->conf.disks, g->disk)) {
		fail(&why, ERR_not_found, "this guest has no work disk");
		over(g, &why);
		return;
	}
	if (disk_is_there(g)) {
		fill(g);
		return;
	}
	if (g->uevents >= 0)
		watch_start(a->loop, &g->watch, g->uevents, WATCH_READ, look, g);
	timer_start(a->loop, &g->deadline, GROW_WAIT_MS, too_late, g);
}

/*
 * connect.c - priv.connect_vmm (row F13): one connected descriptor to a socket in a jail.
 *
 * The directory belongs to a VMM, which may plant anything there. The node is opened without
 * following it, must be what it is to be, and is then reached by its descriptor. A VMM that was
 * just launched may not have made its socket yet: it is waited for, in a child.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "helper/task.h"
#include "helper/verbs.h"
#include "helper/vmms.h"
#include "sys/beneath.h"

enum { CONNECT_MS = 10000, WAIT_MS = 8000 };

static const char *leaf_of(enum vmm driver, enum vmm_channel channel)
{
	switch (channel) {
	case vmm_channel_api:
		return "api.sock";
	case vmm_channel_vsock:
		return "v.sock";
	case vmm_channel_console:
		return driver == vmm_qemu ? "console.sock" : "console";
	case vmm_channel_COUNT:
		break;
	}
	return "";
}

struct connection {
	struct helper *h;
	char jail[JAIL_NAME_MAX];
	const char *leaf;
	int pidfd; /* whoever has ended makes no socket */
};

static enum err open_fifo(int node, int *ret, struct why *why)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", node);
	*ret = openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return *ret < 0 ? fail_errno(why, "cannot open the console") : OK;
}

/* ERR_not_found: nothing is there, or nobody listens there yet. */
static enum err try_connect(int run, const char *leaf, int *ret, struct why *why)
{
	own_fd node = open_beneath(run, leaf, O_PATH | O_NOFOLLOW, 0), fd = -1;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct stat st;

	if (node < 0 && errno == ENOENT)
		return fail_field(why, ERR_not_found, "channel", "the VMM has made no %s", leaf);
	if (node < 0 || fstat(node, &st) < 0)
		return fail_errno(why, "cannot open %s", leaf);
	if (S_ISFIFO(st.st_mode) && str_eq(leaf, "console"))
		return open_fifo(node, ret, why);
	if (!S_ISSOCK(st.st_mode))
		return fail_field(why, ERR_denied, "channel", "%s is not a socket", leaf);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d", node);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		if (errno == ECONNREFUSED)
			return fail_field(why, ERR_not_found, "channel",
				"the VMM does not listen at %s", leaf);
		return fail_errno(why, "cannot connect to %s", leaf);
	}
	*ret = take_fd(&fd);
	return OK;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*
 * The directory changes when a socket is made. A bind is seen before its listen: that one is looked
 * at again a little later. False: the VMM has ended.
 */
static bool wait_for_change(int watch, int pidfd, bool bound, int64_t until)
{
	struct pollfd p[2] = { { watch, POLLIN, 0 }, { pidfd, POLLIN, 0 } };
	char events[4096];
	int64_t left = MAX(until - now_ms(), (int64_t)0);

	if (poll(p, 2, (int)(bound ? MIN(left, (int64_t)5) : left)) > 0 && p[0].revents)
		(void)!read(watch, events, sizeof(events));
	return p[1].revents == 0;
}

static enum err run_connection(void *arg, struct buf *result UNUSED, int *ret_fd, struct why *why)
{
	struct connection *c = arg;
	char path[JAIL_NAME_MAX + 16], link[32];
	own_fd run = -1, watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	int64_t until = now_ms() + WAIT_MS;
	struct stat st;
	enum err e;

	snprintf(path, sizeof(path), "%s/root/run", c->jail);
	run = open_beneath(c->h->jails, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (run < 0)
		return fail_errno(why, "cannot enter the jail");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", run);
	if (watch < 0 || inotify_add_watch(watch, link, IN_CREATE | IN_MOVED_TO) < 0)
		return fail_errno(why, "cannot watch a jail");
	for (;;) {
		e = try_connect(run, c->leaf, ret_fd, why);
		if (e != ERR_not_found || now_ms() >= until)
			return e;
		if (!wait_for_change(watch, c->pidfd,
			    fstatat(run, c->leaf, &st, AT_SYMLINK_NOFOLLOW) == 0, until))
			return fail_field(why, ERR_vmm_failed, "vm_id", "the VMM has ended");
	}
}

static void connected(void *ctx, const struct why *why, struct bytes result UNUSED, int fd)
{
	static const struct priv_connected none;
	struct call *c = ctx;
	own_fd ours = fd;
	struct why own;

	if (!why && ours < 0) {
		fail(&own, ERR_internal, "no descriptor came");
		why = &own;
	}
	if (why)
		call_fail(c, why);
	else
		call_done_fd(c, &none, ours);
}

void connect_act(struct call *c, const void *body)
{
	const struct priv_connect *q = body;
	struct connection *x = call_memory(c, sizeof(*x));
	struct task_spec spec = { .what = "connecting to a VMM",
		.run = run_connection,
		.arg = x,
		.deadline_ms = CONNECT_MS };
	enum vmm driver;
	struct why why;
	enum err e;

	if (!x)
		return;
	x->pidfd = vmms_of(c->h->vmms, q->vm_id, &driver);
	if (x->pidfd < 0) {
		e = fail_field(&why, ERR_not_owned, "vm_id", "no machine %s runs", q->vm_id);
	} else {
		x->h = c->h;
		jail_name(x->jail, driver, q->vm_id);
		x->leaf = leaf_of(driver, q->channel);
		e = task_start(c->h, &spec, connected, c, &why);
	}
	if (e)
		call_fail(c, &why);
}

/*
 * launch_open.c - what a VMM is given: a jail, the owner's files by checked descriptors, its
 * sockets, its taps. Nothing of it is looked up by name again.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper/disks.h"
#include "helper/launch.h"
#include "sys/beneath.h"

enum { LOG_ROOM = 1048576 };

static const char *const socket_names[LAUNCH_SOCKETS] = { "api.sock", "v.sock", "console.sock" };

/* Adds a file of the owner's to what is placed in the jail. */
static enum err add_file(struct launch *l, const char *path, const char *field, const char *at,
	bool writable, struct why *why)
{
	struct inside_file *f = &l->in.files[l->in.files_n];
	enum err e;

	must(l->in.files_n < INSIDE_FILES_MAX);
	*f = (struct inside_file){ .fd = -1, .writable = writable };
	snprintf(f->at, sizeof(f->at), "%s", at);
	e = owner_file(l->call->h, path, field, writable, &f->fd, why);
	if (!e)
		e = writable ? grant_write(f->fd, l->uid, field, why) :
			       grant_read(f->fd, field, why);
	l->in.files_n += f->fd >= 0;
	return e;
}

static enum err add_snapshot(
	struct launch *l, const struct priv_disk *d, const char *at, struct why *why)
{
	struct inside_file *f = &l->in.files[l->in.files_n];
	struct dm_info info;
	enum err e = snapshot_find(l->call->h, d->dm_dev, "disks", &info, why);

	must(l->in.files_n < INSIDE_FILES_MAX);
	if (e)
		return e;
	*f = (struct inside_file){ .fd = -1, .dev = info.dev, .writable = !d->read_only };
	snprintf(f->at, sizeof(f->at), "%s", at);
	l->in.files_n++;
	return OK;
}

static enum err open_files(struct launch *l, struct why *why)
{
	const struct priv_launch *q = l->q;
	char at[INSIDE_PATH_MAX];
	enum err e = add_file(l, q->kernel_path, "kernel_path", JAIL_KERNEL, false, why);

	if (!e && q->initrd_path)
		e = add_file(l, q->initrd_path, "initrd_path", JAIL_INITRD, false, why);
	for (uint32_t i = 0; i < q->disks.n && !e; i++) {
		const struct priv_disk *d = &q->disks.v[i];

		snprintf(at, sizeof(at), JAIL_DISKS "/%s", d->id);
		e = d->path ? add_file(l, d->path, "disks", at, !d->read_only, why) :
			      add_snapshot(l, d, at, why);
	}
	return e;
}

static enum err listen_in(int run, const char *name, int *ret, struct why *why)
{
	own_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s", run, name);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 16) < 0)
		return fail_errno(why, "cannot make socket %s of a jail", name);
	*ret = take_fd(&fd);
	return OK;
}

/* A FIFO that keeps the last words until somebody reads them, and drops what is more. */
static enum err open_log(struct launch *l, int run, const char *name, struct why *why)
{
	if (mkfifoat(run, name, 0600) < 0)
		return fail_errno(why, "cannot make the log of a jail");
	l->log = open_beneath(run, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
	l->log_in = open_beneath(run, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0);
	if (l->log < 0 || l->log_in < 0)
		return fail_errno(why, "cannot open the log of a jail");
	fcntl(l->log_in, F_SETPIPE_SZ, LOG_ROOM); /* less is fine where that is too much */
	return OK;
}

static enum err open_sockets(struct launch *l, struct why *why)
{
	own_fd run = open_beneath(l->in.root, "run", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	bool qemu = l->q->driver == vmm_qemu;
	enum err e = OK;

	if (run < 0)
		return fail_errno(why, "cannot enter a jail");
	for (int i = 0; qemu && i < LAUNCH_SOCKETS && !e; i++)
		e = listen_in(run, socket_names[i], &l->sockets[i], why);
	return e ? e : open_log(l, run, qemu ? "log" : "console", why);
}

enum err launch_open(struct launch *l, struct why *why)
{
	struct helper *h = l->call->h;
	const struct priv_launch *q = l->q;
	enum err e = trusted_program(q->binary, "binary", &l->binary, why);

	if (!e && q->jailer)
		e = trusted_program(q->jailer, "jailer", &l->jailer, why);
	l->in.jailer = q->jailer != NULL;
	l->in.no_network = q->driver == vmm_qemu;
	l->in.tun = q->driver == vmm_firecracker && q->taps.n > 0;
	l->in.kvm = q->driver == vmm_firecracker || (q->has_accel && q->accel == accel_kvm);
	l->in.uid = l->uid;
	l->in.helper = getpid();
	if (!e)
		e = jail_make(h, l->jail, l->uid, q->driver == vmm_firecracker, &l->in.root, why);
	if (!e)
		e = open_files(l, why);
	if (!e)
		e = open_sockets(l, why);
	for (uint32_t i = 0; i < q->taps.n && !e; i++)
		e = launch_tap(l, q->taps.v[i], &l->taps[i], why);
	if (!e && q->jailer)
		e = jail_program(
			h, l->binary, word_of(vmm, q->driver), l->program, sizeof(l->program), why);
	return e;
}

/*
 * launch.c - priv.launch_vmm (row F9): a VMM in a jail, under a uid of its own, that outlives us.
 *
 * The ledger says what will be made before it is made; whatever fails on the way is undone before
 * the refusal is sent.
 */
#include "helper/launch.h"

#include <signal.h>
#include <unistd.h>

#include "base/log.h"

/* ---- check ---- */

static enum err check_disks(const struct helper *h, const struct priv_launch *q, struct why *why)
{
	for (uint32_t i = 0; i < q->disks.n; i++) {
		const struct priv_disk *d = &q->disks.v[i];
		enum err e = d->path ? check_beneath_state(h, d->path, "disks", why) : OK;

		if (e)
			return e;
		if (!d->path == !d->dm_dev)
			return fail_field(why, ERR_invalid_value, "disks",
				"disk %s must have a path or a dm_dev, and not both", d->id);
		for (uint32_t k = 0; k < i; k++)
			if (str_eq(q->disks.v[k].id, d->id))
				return fail_field(why, ERR_invalid_value, "disks",
					"two disks are called %s", d->id);
	}
	return OK;
}

static enum err check_taps(const struct priv_launch *q, struct why *why)
{
	for (uint32_t i = 0; i < q->taps.n; i++)
		for (uint32_t k = 0; k < i; k++)
			if (str_eq(q->taps.v[k], q->taps.v[i]))
				return fail_field(why, ERR_invalid_value, "taps",
					"tap %s is named twice", q->taps.v[i]);
	return OK;
}

static enum err check_driver(const struct priv_launch *q, struct why *why)
{
	if (q->driver == vmm_firecracker && q->vcpus > 32)
		return fail_field(why, ERR_invalid_value, "vcpus",
			"firecracker takes at most 32 virtual CPUs");
	if (q->driver == vmm_firecracker && q->has_accel && q->accel == accel_tcg)
		return fail_field(why, ERR_invalid_value, "accel", "firecracker does not emulate");
	if (q->driver == vmm_firecracker && q->cmdline)
		return fail_field(why, ERR_invalid_value, "cmdline",
			"firecracker takes its command line by its API");
	if (q->driver == vmm_qemu && q->jailer)
		return fail_field(why, ERR_invalid_value, "jailer", "qemu has no jailer");
	return OK;
}

enum err launch_check(const struct helper *h, const void *body, struct why *why)
{
	const struct priv_launch *q = body;
	enum err e = check_driver(q, why);

	if (!e)
		e = check_beneath_state(h, q->kernel_path, "kernel_path", why);
	if (!e && q->initrd_path)
		e = check_beneath_state(h, q->initrd_path, "initrd_path", why);
	if (!e)
		e = check_disks(h, q, why);
	return e ? e : check_taps(q, why);
}

void launch_about(const void *body, char out[ABOUT_MAX])
{
	snprintf(out, ABOUT_MAX, "vm/%s", ((const struct priv_launch *)body)->vm_id);
}

/* ---- act ---- */

static void close_all(struct launch *l)
{
	fd_done(&l->binary);
	fd_done(&l->jailer);
	for (int i = 0; i < LAUNCH_SOCKETS; i++)
		fd_done(&l->sockets[i]);
	for (int i = 0; i < LAUNCH_TAPS_MAX; i++)
		fd_done(&l->taps[i]);
	for (unsigned i = 0; i < l->in.files_n; i++)
		fd_done(&l->in.files[i].fd);
	fd_done(&l->in.root);
	fd_done(&l->log);
	fd_done(&l->log_in);
}

static enum err note_jail(struct launch *l, struct why *why)
{
	struct priv_entry r = { .kind = priv_thing_jail,
		.name = l->jail,
		.made = ledger_now(),
		.vm = l->q->vm_id,
		.uid = l->uid,
		.has_uid = true };

	return ledger_note(l->call->h->ledger, &r, why);
}

static enum err note_vmm(struct launch *l, pid_t pid, struct why *why)
{
	struct priv_entry r = { .kind = priv_thing_vmm,
		.name = l->q->vm_id,
		.made = ledger_now(),
		.vm = l->q->vm_id,
		.pid = (uint64_t)pid,
		.start = process_start_time(pid),
		.uid = l->uid,
		.has_pid = true,
		.has_start = true,
		.has_uid = true,
		.detail = l->jail };

	return ledger_note(l->call->h->ledger, &r, why);
}

static void undo_jail(struct launch *l)
{
	struct helper *h = l->call->h;
	struct why why;

	if (jail_remove(h, l->jail, &why) ||
		ledger_forget(h->ledger, priv_thing_jail, l->jail, &why))
		log_line(LOG_WARN, "helper", "jail left", "jail", l->jail, "why", why.text, NULL);
}

static void add_gift(struct process_spec *s, int fd, int as)
{
	if (fd < 0)
		return;
	must(s->gifts_n < GIFTS_MAX);
	s->gifts[s->gifts_n++] = (struct fd_gift){ fd, as };
}

static enum err start(struct launch *l, pid_t *pid, int *pidfd, struct why *why)
{
	struct process_spec s = { .program = l->in.jailer ? l->jailer : l->binary,
		.argv = l->argv,
		.new_session = true,
		.prepare = inside_enter,
		.prepare_arg = &l->in,
		.drop = !l->in.jailer,
		.uid = l->uid,
		.gid = VMM_GID };

	add_gift(&s, l->log_in, 1);
	add_gift(&s, l->log_in, 2);
	add_gift(&s, l->sockets[0], API_FD);
	add_gift(&s, l->sockets[1], VSOCK_FD);
	add_gift(&s, l->sockets[2], CONSOLE_FD);
	for (int i = 0; i < LAUNCH_TAPS_MAX; i++)
		add_gift(&s, l->taps[i], TAP_FD + i);
	return process_start(&s, pid, pidfd, why);
}

/* Its pid and a pidfd of the caller's, or everything that was made is undone. */
static enum err launch(struct launch *l, pid_t *pid, int *pidfd, struct why *why)
{
	struct helper *h = l->call->h;
	enum vmm other;
	own_fd copy = -1;
	int log;
	enum err e;

	if (vmms_of(h->vmms, l->q->vm_id, &other) >= 0)
		return fail_field(why, ERR_exists, "vm_id", "machine %s runs already", l->q->vm_id);
	if (ledger_find(h->ledger, priv_thing_jail, l->jail))
		return fail_field(why, ERR_exists, "vm_id",
			"a jail of machine %s is there; clean it up first", l->q->vm_id);
	e = jail_uid(h, &l->uid, why);
	if (!e)
		e = note_jail(l, why);
	if (e)
		return e;
	e = launch_open(l, why);
	if (!e)
		e = launch_args(l, why);
	if (!e)
		e = start(l, pid, pidfd, why);
	if (e) {
		undo_jail(l);
		return e;
	}
	copy = dup(*pidfd);
	log = take_fd(&l->log);
	e = copy < 0 ? fail_errno(why, "cannot hold a VMM") : note_vmm(l, *pid, why);
	if (!e)
		e = vmms_add(h->vmms, l->q->vm_id, l->q->driver, *pid, l->uid, copy, log, why);
	if (!e) {
		take_fd(&copy);
		return OK;
	}
	fd_done(&log);
	pidfd_signal(*pidfd, SIGKILL);
	pidfd_reap(*pidfd);
	(void)ledger_forget(h->ledger, priv_thing_vmm, l->q->vm_id, NULL);
	undo_jail(l);
	return e;
}

void launch_act(struct call *c, const void *body)
{
	struct launch l = { .call = c,
		.q = body,
		.binary = -1,
		.jailer = -1,
		.sockets = { -1, -1, -1 },
		.taps = { -1, -1, -1, -1 },
		.log = -1,
		.log_in = -1,
		.in = { .root = -1 },
		.mem = { .max = 128 * KiB } };
	struct priv_launched result = { .has_parcel = false };
	own_fd pidfd = -1;
	pid_t pid = 0;
	struct why why;
	enum err e;

	jail_name(l.jail, l.q->driver, l.q->vm_id);
	inside_plan(&l.in);
	e = launch(&l, &pid, &pidfd, &why);
	close_all(&l);
	arena_done(&l.mem);
	if (e) {
		call_fail(c, &why);
		return;
	}
	log_line(LOG_INFO, "helper", "vmm launched", "vm", l.q->vm_id, "pid",
		log_u64((uint64_t)pid).s, "uid", log_u64(l.uid).s, "driver",
		word_of(vmm, l.q->driver), NULL);
	result.pid = (uint64_t)pid;
	call_done_fd(c, &result, pidfd);
}

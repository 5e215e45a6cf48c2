/*
 * helper_acts.c - what the simulated root helper does when it is asked: links, snapshots, jails and
 * VMMs of the host, and the answers about them.
 */
#include <signal.h>

#include "base/build.h"
#include "tests/sim/helper.h"

enum { TAPS_MAX = 1000 };

/* ---- things ---- */

struct thing *thing_find(struct things *list, const char *name)
{
	struct thing *t;

	TAILQ_FOREACH(t, list, entry)
	if (str_eq(t->name, name))
		return t;
	return NULL;
}

struct thing *thing_make(struct things *list, const char *name)
{
	struct thing *t = calloc(1, sizeof(*t));

	must(t);
	must(str_copy(t->name, sizeof(t->name), name));
	TAILQ_INSERT_TAIL(list, t, entry);
	return t;
}

void thing_drop(struct things *list, struct thing *t)
{
	TAILQ_REMOVE(list, t, entry);
	free(t);
}

void things_drop(struct things *list)
{
	struct thing *t;

	while ((t = TAILQ_FIRST(list)) != NULL)
		thing_drop(list, t);
}

unsigned things_count(const struct things *list)
{
	const struct thing *t;
	unsigned n = 0;

	TAILQ_FOREACH(t, list, entry)
	n++;
	return n;
}

void tap_drop(struct helper *h, struct thing *t)
{
	char name[48];

	str_copy(name, sizeof(name), t->name);
	thing_drop(&h->taps, t);
	world_link_news(h->sim, name, false);
}

void helper_each_tap(struct sim *s, void (*fn)(void *ctx, const char *name), void *ctx)
{
	struct thing *t;

	TAILQ_FOREACH(t, &s->helper->taps, entry)
	fn(ctx, t->name);
}

void helper_each_snapshot(struct sim *s, void (*fn)(void *ctx, const char *name), void *ctx)
{
	struct thing *t;

	TAILQ_FOREACH(t, &s->helper->snapshots, entry)
	fn(ctx, t->name);
}

const char *helper_tap_address(struct sim *s, const char *name)
{
	struct thing *t = thing_find(&s->helper->taps, name);

	return t ? t->address : NULL;
}

bool helper_snapshot_stands(struct sim *s, const char *name)
{
	struct thing *t = thing_find(&s->helper->snapshots, name);

	return t && node_find(s, STATE, t->base) && node_find(s, STATE, t->cow);
}

bool helper_bridge(struct sim *s)
{
	return s->helper->bridge;
}

/* ---- verbs: an error's code, its field; or the answer ---- */

static enum err act_tap(struct helper *h, const struct priv_create_tap *q, struct why *why)
{
	if (!h->bridge)
		return fail_field(why, ERR_not_found, "bridge", "there is no bridge");
	if (!thing_find(&h->taps, q->tap) && things_count(&h->taps) >= TAPS_MAX)
		return fail(why, ERR_busy, "too many taps");
	if (!thing_find(&h->taps, q->tap))
		thing_make(&h->taps, q->tap);
	world_link_news(h->sim, q->tap, true);
	return OK;
}

static enum err act_nat(struct helper *h, const struct priv_nat *q, struct why *why)
{
	struct thing *t = thing_find(&h->taps, q->tap), *other;

	if (!t)
		return fail_field(why, ERR_not_found, "tap", "there is no tap %s", q->tap);
	TAILQ_FOREACH(other, &h->taps, entry)
	if (str_eq(other->address, q->guest_ip))
		other->address[0] = '\0';
	str_copy(t->address, sizeof(t->address), q->guest_ip);
	return OK;
}

/* A path of the daemon's, without its state directory. */
static const char *beneath_state(const char *path)
{
	must(strncmp(path, "/state/", 7) == 0);
	return path + 7;
}

static enum err act_snapshot(struct helper *h, const struct priv_create_dm *q, struct why *why)
{
	const char *base = beneath_state(q->base_path), *cow = beneath_state(q->cow_path);
	struct thing *t;
	char name[48];

	snprintf(name, sizeof(name), "fc-rootfs-%s", q->vm_id);
	if (thing_find(&h->snapshots, name))
		return fail_field(why, ERR_exists, "vm_id", "it was made already");
	if (!node_find(h->sim, STATE, base) || !node_find(h->sim, STATE, cow))
		return fail_field(why, ERR_not_found, "cow_path", "no such file");
	t = thing_make(&h->snapshots, name);
	str_copy(t->base, sizeof(t->base), base);
	str_copy(t->cow, sizeof(t->cow), cow);
	return OK;
}

static struct proc *vmm_by_pid(struct sim *s, uint64_t pid)
{
	struct proc *p;

	TAILQ_FOREACH(p, &s->procs, entry)
	if (p->kind == PROC_VMM && (uint64_t)p->pid == pid)
		return p;
	return NULL;
}

static enum err act_kill(struct helper *h, const struct priv_pid *q, struct why *why)
{
	struct proc *p = vmm_by_pid(h->sim, q->pid);

	if (!p)
		return fail_field(why, ERR_not_owned, "pid", "no VMM of this helper");
	proc_exit_later(p, sim_roll(h->sim, 5), 128 + SIGKILL);
	return OK;
}

/* ---- VMMs ---- */

struct proc *helper_vmm(struct sim *s, const char *id)
{
	struct proc *p;

	TAILQ_FOREACH(p, &s->procs, entry)
	if (p->kind == PROC_VMM && str_eq(vmm_id(p), id))
		return p;
	return NULL;
}

static enum err act_launch(
	struct helper *h, const struct priv_launch *q, pid_t *pid, struct why *why)
{
	struct proc *p;

	if (q->driver != vmm_qemu)
		return fail_field(why, ERR_unsupported, "driver", "no such VMM here");
	for (uint32_t i = 0; i < q->disks.n; i++) {
		const struct priv_disk *d = &q->disks.v[i];

		if (d->path ? !node_find(h->sim, STATE, beneath_state(d->path)) :
			      !thing_find(&h->snapshots, d->dm_dev + strlen("/dev/mapper/")))
			return fail_field(why, ERR_not_found, "disks", "no disk %s", d->id);
	}
	for (uint32_t i = 0; i < q->taps.n; i++)
		if (!thing_find(&h->taps, q->taps.v[i]))
			return fail_field(why, ERR_not_found, "taps", "no tap");
	if (helper_vmm(h->sim, q->vm_id) || thing_find(&h->jails, q->vm_id))
		return fail_field(why, ERR_exists, "vm_id", "it is there already");
	p = proc_launch(h->sim, q->vm_id, q->accel == accel_kvm);
	if (!p)
		return fail(why, ERR_no_memory, "cannot start a process");
	sim_mark(h->sim, MARK_jail_launched);
	thing_make(&h->jails, q->vm_id);
	*pid = p->pid;
	return OK;
}

/* The daemon's end of a connection to one of its sockets. */
static enum err act_connect(
	struct helper *h, const struct priv_connect *q, struct chan **ret, struct why *why)
{
	static const char *const leaves[] = { [vmm_channel_api] = "qmp.sock",
		[vmm_channel_vsock] = "agent.sock",
		[vmm_channel_console] = "console.sock" };
	struct proc *p = helper_vmm(h->sim, q->vm_id);
	struct pipe_end *ends[2];

	for (unsigned i = 0; p && i < p->sockets_n; i++) {
		if (!strstr(p->sockets[i].path, leaves[q->channel]))
			continue;
		pipe_pair(h->sim, NULL, ends);
		chan_pause(&ends[0]->c, true);
		proc_reach(p, &p->sockets[i], &ends[1]->c);
		*ret = &ends[0]->c;
		return OK;
	}
	return fail_field(why, ERR_not_found, "vm_id", "no such machine");
}

static enum err act_clean(struct helper *h, const struct priv_chroot *q, struct why *why)
{
	const char *id = strrchr(q->chroot_path, '/') + 1;
	struct thing *jail = thing_find(&h->jails, id);

	if (helper_vmm(h->sim, id))
		return fail_field(why, ERR_busy, "chroot_path", "somebody lives there");
	if (jail)
		thing_drop(&h->jails, jail);
	return OK;
}

/* Everything whose answer has no fields. */
static enum err act_plain(struct helper *h, enum letter_id kind, const void *body, struct why *why)
{
	const struct priv_remove_dm *remove = body;
	const struct priv_tap *tap = body;
	const struct priv_dm *dm = body;
	struct thing *t;

	switch ((int)kind) {
	case LETTER_priv_create_tap:
		return act_tap(h, body, why);
	case LETTER_priv_delete_tap:
		t = thing_find(&h->taps, tap->tap);
		if (t)
			tap_drop(h, t);
		return OK;
	case LETTER_priv_ensure_nat:
		return act_nat(h, body, why);
	case LETTER_priv_create_dm_snapshot:
		return act_snapshot(h, body, why);
	case LETTER_priv_remove_dm_snapshot:
		t = thing_find(&h->snapshots, remove->target);
		if (t)
			thing_drop(&h->snapshots, t);
		return OK;
	case LETTER_priv_fsck_snapshot:
	case LETTER_priv_dm_status:
		return thing_find(&h->snapshots, dm->dm_dev + strlen("/dev/mapper/")) ?
			       OK :
			       fail_field(why, ERR_not_found, "dm_dev", "no such snapshot");
	case LETTER_priv_kill_process:
		return act_kill(h, body, why);
	case LETTER_priv_sync_resolver_routing:
		return sim_chance(h->sim, 300) ? fail(why, ERR_unavailable, "no resolver") : OK;
	case LETTER_priv_ensure_bridge:
		h->bridge = true;
		return OK;
	case LETTER_priv_cleanup_jailer_chroot:
		return act_clean(h, body, why);
	case LETTER_priv_ping:
	case LETTER_priv_list_things:
		return OK;
	default:
		sim_fail(h->sim, "the helper was asked for %s", letter_kinds[kind].method);
	}
}

/* VMMs and jails, which are all that the daemon asks for. */
static void list_things(struct request *r, struct priv_listed *ret)
{
	static struct priv_held held[128];
	const struct priv_things *q = r->body;
	struct proc *p;
	struct thing *t;

	*ret = (struct priv_listed){ .things = { held, 0 } };
	TAILQ_FOREACH(p, &r->h->sim->procs, entry)
	if (p->kind == PROC_VMM && q->kind == priv_thing_vmm && ret->things.n < COUNT(held))
		held[ret->things.n++] = (struct priv_held){ .there = true,
			.entry = { .kind = priv_thing_vmm, .name = vmm_id(p), .vm = vmm_id(p),
				.has_pid = true, .pid = (uint64_t)p->pid } };
	TAILQ_FOREACH(t, &r->h->jails, entry)
	if (q->kind == priv_thing_jail && ret->things.n < COUNT(held))
		held[ret->things.n++] = (struct priv_held){ .there = true,
			.entry = { .kind = priv_thing_jail, .name = t->name } };
}

void helper_answer(struct request *r)
{
	struct priv_listed listed;
	struct priv_dm_handles handles = { "/dev/loop0", "/dev/loop1", "fc-rootfs-aa",
		"/dev/mapper/fc-rootfs-aa" };
	struct version version = { build_version, build_commit, build_time_ms };
	struct priv_dm_fill fill = { .used = 8, .size = 800, .valid = true };
	const char *missing = "nft insert rule inet other forward accept";
	struct priv_bridged bridged = { .missing = { &missing, sim_chance(r->h->sim, 200) } };
	struct priv_launched launched = { .pid = (uint64_t)r->brings.pid };
	struct priv_connected connected = { .has_parcel = false };
	struct nothing none;
	const void *body = &none;
	struct why why;

	if (r->kind == LETTER_priv_launch_vmm || r->kind == LETTER_priv_connect_vmm) {
		must(r->conn->came_n < COUNT(r->conn->came));
		r->conn->came[r->conn->came_n++] = r->brings;
		r->brings.chan = NULL;
		body = r->kind == LETTER_priv_launch_vmm ? (const void *)&launched :
							   (const void *)&connected;
	}
	if (r->kind == LETTER_priv_ping)
		body = &version;
	else if (r->kind == LETTER_priv_create_dm_snapshot)
		body = &handles;
	else if (r->kind == LETTER_priv_dm_status)
		body = &fill;
	else if (r->kind == LETTER_priv_ensure_bridge)
		body = &bridged;
	else if (r->kind == LETTER_priv_list_things)
		list_things(r, &listed), body = &listed;
	must(rpc_answer(r->conn->rpc, r->msgid, &letter_kinds[r->kind], body, &why) == OK);
}

void helper_act(struct request *r, struct why *why)
{
	if (r->kind == LETTER_priv_launch_vmm)
		act_launch(r->h, r->body, &r->brings.pid, why);
	else if (r->kind == LETTER_priv_connect_vmm)
		act_connect(r->h, r->body, &r->brings.chan, why);
	else
		act_plain(r->h, r->kind, r->body, why);
}

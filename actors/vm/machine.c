/*
 * machine.c - a machine: its record, its names, its state as it is derived, its VMM's beginning and
 * end. Knows no driver's protocol and no client.
 */
#include <signal.h>

#include "base/log.h"
#include "base/text.h"
#include "actors/shared/job.h"
#include "actors/shared/notes.h"
#include "actors/shared/records.h"
#include "actors/vm/forwards.h"
#include "actors/vm/vm.h"

static void copy_in(char *to, size_t size, const char **field, const char *from)
{
	if (!from) {
		*field = NULL;
		return;
	}
	str_copy(to, size, from);
	*field = to;
}

/* ---- in order of their ids ---- */

uint32_t machine_behind(const struct vmd *v, const char *id)
{
	uint32_t low = 0, high = v->in_order_n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (strcmp(v->in_order[mid]->id, id) > 0)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static bool order_room(struct vmd *v)
{
	uint32_t room = v->in_order_room ? 2 * v->in_order_room : 16;
	struct machine **all;

	if (v->in_order_n < v->in_order_room)
		return true;
	all = realloc(v->in_order, room * sizeof(struct machine *));
	if (!all)
		return false;
	v->in_order = all;
	v->in_order_room = room;
	return true;
}

static void order_add(struct machine *m)
{
	struct vmd *v = m->v;
	uint32_t at = machine_behind(v, m->id);

	memmove(v->in_order + at + 1, v->in_order + at,
		(v->in_order_n++ - at) * sizeof(struct machine *));
	v->in_order[at] = m;
}

static void order_del(struct machine *m)
{
	struct vmd *v = m->v;
	uint32_t behind = machine_behind(v, m->id);

	must(behind > 0 && v->in_order[behind - 1] == m);
	memmove(v->in_order + behind - 1, v->in_order + behind,
		(v->in_order_n-- - behind) * sizeof(struct machine *));
}

struct machine *machine_new(struct vmd *v, const struct vm_record *r, struct why *why)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m) {
		fail(why, ERR_no_memory, "no memory for a machine");
		return NULL;
	}
	m->v = v;
	m->r = *r;
	copy_in(m->id, sizeof(m->id), &m->r.id, r->id);
	copy_in(m->name, sizeof(m->name), &m->r.name, r->name);
	copy_in(m->image, sizeof(m->image), &m->r.image, r->image);
	copy_in(m->image_id, sizeof(m->image_id), &m->r.image_id, r->image_id);
	copy_in(m->kernel, sizeof(m->kernel), &m->r.kernel, r->kernel);
	copy_in(m->kernel_id, sizeof(m->kernel_id), &m->r.kernel_id, r->kernel_id);
	copy_in(m->home, sizeof(m->home), &m->r.home, r->home);
	copy_in(m->reason, sizeof(m->reason), &m->r.reason, r->reason);
	copy_in(m->boot_id, sizeof(m->boot_id), &m->r.boot_id, r->boot_id);
	m->r.ssh_key = m->ssh_key = r->ssh_key ? strdup(r->ssh_key) : NULL;
	m->r.root_file = m->root_file = r->root_file ? strdup(r->root_file) : NULL;
	if ((r->ssh_key && !m->ssh_key) || (r->root_file && !m->root_file) ||
		forwards_take(m, r->publish.v, r->publish.n, why))
		goto fail_id;
	m->driver = vmm_of(r->driver);
	TAILQ_INIT(&m->sessions);
	TAILQ_INIT(&m->queries);
	waiting_init(&m->early, v->me);
	m->serial = ++v->next_serial;
	if (!order_room(v))
		goto fail_id;
	if (!table_add(&v->by_id, &m->by_id, m->id, strlen(m->id)))
		goto fail_id;
	if (!table_add(&v->by_name, &m->by_name, m->name, strlen(m->name)))
		goto fail_name;
	if (!table_add(&v->by_serial, &m->by_serial, &m->serial, sizeof(m->serial)))
		goto fail_serial;
	order_add(m);
	m->r.address = NULL;
	if (r->address && !machine_set_address(m, r->address))
		log_line(LOG_WARN, "vm", "its address is another machine's", "vm", m->id, "address",
			r->address, NULL);
	return m;
fail_serial:
	table_del(&v->by_name, &m->by_name);
fail_name:
	table_del(&v->by_id, &m->by_id);
fail_id:
	forwards_done(m);
	free(m->ssh_key);
	free(m->root_file);
	free(m);
	fail(why, ERR_no_memory, "no memory for a machine");
	return NULL;
}

static void drop_use(struct machine *m)
{
	struct image_use *use = m->use;

	m->use = NULL;
	if (!use || --use->machines > 0)
		return;
	table_del(&m->v->images, &use->by_id);
	arena_done(&use->mem);
	free(use);
}

void machine_free(struct machine *m)
{
	struct vmd *v = m->v;

	machine_close_links(m);
	forwards_done(m);
	admit_promise(m, 0, 0);
	logs_end(m);
	flow_stop(&m->flow);
	world_timer_stop(&m->patience);
	world_timer_stop(&m->kill_again);
	job_free(m->copy);
	child_free(m->child);
	drop_use(m);
	order_del(m);
	table_del(&v->by_id, &m->by_id);
	table_del(&v->by_name, &m->by_name);
	table_del(&v->by_serial, &m->by_serial);
	free(m->ssh_key);
	free(m->root_file);
	free(m->boot.file);
	machine_set_address(m, NULL);
	free(m);
}

void machine_close_links(struct machine *m)
{
	struct why gone;

	fail(&gone, ERR_guest_failed, "machine %s is not running any more", m->name);
	sessions_end(m, &gone);
	link_close(m);
	set_ends(m, &gone);
	world_timer_stop(&m->early_deadline);
	waiting_end(&m->early, m->v, &gone);
	waiting_again(&m->early);
	console_close(m);
	if (m->control)
		m->driver->close(m);
	world_timer_stop(&m->patience);
}

struct machine *machine_find(struct vmd *v, const char *ref)
{
	struct link *l = table_get(&v->by_name, ref, strlen(ref));

	if (l)
		return CONTAINER_OF(l, struct machine, by_name);
	l = table_get(&v->by_id, ref, strlen(ref));
	return l ? CONTAINER_OF(l, struct machine, by_id) : NULL;
}

struct machine *machine_by_serial(struct vmd *v, uint32_t serial)
{
	struct link *l = table_get(&v->by_serial, &serial, sizeof(serial));

	return l ? CONTAINER_OF(l, struct machine, by_serial) : NULL;
}

/* What the image says about programs is kept once for all machines that stand on it. */
static struct image_use *take_use(struct vmd *v, const struct image_held *held)
{
	struct link *l = table_get(&v->images, held->id, strlen(held->id));
	struct image_use *use = l ? CONTAINER_OF(l, struct image_use, by_id) : NULL;

	if (use) {
		use->machines++;
		return use;
	}
	use = calloc(1, sizeof(*use));
	if (!use)
		return NULL;
	str_copy(use->id, sizeof(use->id), held->id);
	use->machines = 1;
	if (shape_copy(&shape_image_facts, &held->facts, &use->facts, &use->mem, NULL) == OK &&
		table_add(&v->images, &use->by_id, use->id, strlen(use->id)))
		return use;
	arena_done(&use->mem);
	free(use);
	return NULL;
}

enum err machine_set_root_file(struct machine *m, struct why *why)
{
	char *copy = strdup(m->boot.file);

	if (!copy)
		return fail(why, ERR_no_memory, "no memory for a path");
	free(m->root_file);
	m->r.root_file = m->root_file = copy;
	return OK;
}

enum err machine_set_image(struct machine *m, const struct image_held *held, struct why *why)
{
	char *file = held->file ? strdup(held->file) : NULL;

	if (held->file && !file)
		return fail(why, ERR_no_memory, "no memory for a path");
	free(m->boot.file);
	m->boot.file = file;
	drop_use(m);
	m->use = take_use(m->v, held);
	copy_in(m->image, sizeof(m->image), &m->r.image, held->name);
	copy_in(m->image_id, sizeof(m->image_id), &m->r.image_id, held->id);
	copy_in(m->home, sizeof(m->home), &m->r.home, held->facts.home);
	str_copy(m->boot.root, sizeof(m->boot.root), held->root);
	str_copy(m->boot.work, sizeof(m->boot.work), held->work);
	m->boot.root_size = held->facts.size;
	return OK;
}

void machine_set_kernel(struct machine *m, const struct kernel_held *held)
{
	copy_in(m->kernel, sizeof(m->kernel), &m->r.kernel, held->name);
	copy_in(m->kernel_id, sizeof(m->kernel_id), &m->r.kernel_id, held->id);
	str_copy(m->boot.vmlinux, sizeof(m->boot.vmlinux), held->vmlinux);
	str_copy(m->boot.initramfs, sizeof(m->boot.initramfs), held->initramfs);
	str_copy(m->boot.modules, sizeof(m->boot.modules), held->modules ? held->modules : "");
}

void machine_dir(const struct machine *m, char *out, size_t size, const char *leaf)
{
	snprintf(out, size, "vm/%s%s%s", m->id, *leaf ? "/" : "", leaf);
}

enum vm_state machine_state(const struct machine *m)
{
	if (flow_active(&m->flow) || m->on_probation) {
		if (m->flow.kind == &vm_create_flow)
			return m->flow.undoing ? vm_state_deleting : vm_state_creating;
		if (m->flow.kind == &vm_delete_flow)
			return vm_state_deleting;
		if (m->flow.kind == &vm_stop_flow || m->flow.undoing)
			return vm_state_stopping;
		return vm_state_starting;
	}
	return m->child ? vm_state_running : vm_state_stopped;
}

static void look_at_usage(struct machine *m)
{
	uint64_t now = world_now_ms(m->v->world);

	if (m->usage.at_ms && now - m->usage.at_ms < USAGE_MS)
		return;
	m->usage.at_ms = now;
	m->usage.known = child_usage(m->child, &m->usage.rss, &m->usage.cpu_ms);
}

void machine_info(struct machine *m, bool disks, struct vm_info *ret)
{
	uint64_t size, used;
	char path[64];

	*ret = (struct vm_info){ .id = m->id,
		.name = m->name,
		.state = machine_state(m),
		.reason = m->child ? NULL : m->r.reason,
		.image = m->image,
		.kernel = m->r.kernel,
		.driver = m->r.driver,
		.accel = m->r.accel,
		.net = m->r.net,
		.layer = m->r.layer,
		.vcpus = m->r.vcpus,
		.memory = m->r.memory,
		.disk = m->r.disk,
		.rm = m->r.rm,
		.created = m->r.created,
		.started = m->r.started,
		.has_started = m->r.has_started };
	set_info(m, ret);
	look_info(m, ret);
	if (m->child) {
		ret->has_pid = ret->has_uptime_ms = true;
		ret->pid = m->r.pid;
		ret->uptime_ms = world_now_ms(m->v->world) - m->started_ms;
		look_at_usage(m);
		ret->has_rss = ret->has_cpu_ms = m->usage.known;
		ret->rss = m->usage.known ? m->usage.rss : 0;
		ret->cpu_ms = m->usage.known ? m->usage.cpu_ms : 0;
	}
	if (!disks)
		return;
	static const char *const leaves[] = { "root.qcow2", "work.qcow2", "root.raw", "work.raw",
		"root.cow" };

	ret->has_cow_size = ret->has_cow_used = machine_fill(m, &ret->cow_size, &ret->cow_used);
	ret->has_disk_used = true;
	for (size_t i = 0; i < COUNT(leaves); i++) {
		machine_dir(m, path, sizeof(path), leaves[i]);
		if (world_size(m->v->world, STATE, path, &size, &used, NULL) == OK)
			ret->disk_used += used;
	}
}

void machine_save(struct machine *m, struct store_put *put, struct arena *a)
{
	struct why why;

	if (record_put(put, store_table_vm, m->id, &shape_vm_record, &m->r, a, &why))
		log_line(LOG_ERROR, "vm", "cannot pack a record", "vm", m->id, "why", why.text,
			NULL);
}

static void wrote(void *state UNUSED, uint64_t ctx UNUSED, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	if (why)
		log_line(LOG_ERROR, "vm", "record not written", "why", why->text, NULL);
}

void machine_write(struct machine *m)
{
	struct arena a = { .max = 64 * KiB };
	struct store_put put = { .table = store_table_vm };
	struct store_write w = { .puts = { &put, 1 } };

	machine_save(m, &put, &a);
	if (put.value.p)
		ask(m->v->me, LETTER_store_write, &w, 60000, wrote, 0);
	arena_done(&a);
}

void machine_set_reason(struct machine *m, const char *reason)
{
	copy_in(m->reason, sizeof(m->reason), &m->r.reason, reason);
}

enum err machine_set_ssh_key(struct machine *m, const char *key, struct why *why)
{
	char *copy;

	if (!key || (m->ssh_key && str_eq(m->ssh_key, key)))
		return OK;
	copy = strdup(key);
	if (!copy)
		return fail(why, ERR_no_memory, "no memory for a key");
	free(m->ssh_key);
	m->r.ssh_key = m->ssh_key = copy;
	if (flow_active(&m->flow) || m->on_probation)
		m->stale = true;
	else
		machine_write(m);
	return OK;
}

void machine_tell_waiters(struct machine *m)
{
	enum vm_state state = machine_state(m);
	struct waiter *w, *next;

	for (w = TAILQ_FIRST(&m->v->waiters); w; w = next) {
		struct vm_waited is = { m->id, word_of(vm_state, state) };

		next = TAILQ_NEXT(w, entry);
		if (!str_eq(w->vm, m->id))
			continue;
		if ((w->until == wait_for_running && state == vm_state_running && link_up(m)) ||
			(w->until == wait_for_stopped && state == vm_state_stopped)) {
			answer(m->v->me, w->reply, &is);
			TAILQ_REMOVE(&m->v->waiters, w, entry);
			world_timer_stop(&w->deadline);
			free(w);
		}
	}
}

void machine_changed(struct machine *m)
{
	const char *state = word_of(vm_state, machine_state(m));
	char kind[32];
	struct event e = { .kind = kind,
		.vm = m->id,
		.name = m->name,
		.state = state,
		.detail = m->child ? NULL : m->r.reason };

	snprintf(kind, sizeof(kind), "vm.%s", state);
	note_event(m->v->me, m->v->world, &e);
	machine_tell_waiters(m);
}

void machine_vmm_taken(struct machine *m)
{
	m->r.pid = (uint64_t)child_pid(m->child);
	m->r.pid_start = child_start(m->child);
	m->r.has_pid = m->r.has_pid_start = true;
	copy_in(m->boot_id, sizeof(m->boot_id), &m->r.boot_id, world_boot_id(m->v->world));
}

void machine_vmm_started(struct machine *m, struct child *child)
{
	m->child = child;
	m->guest_down = m->guest_reset = false;
	m->link.tries = 0;
	m->usage.at_ms = 0;
	machine_vmm_taken(m);
	m->started_ms = world_now_ms(m->v->world);
	m->r.started = world_unix_ms(m->v->world);
	m->r.has_started = true;
	m->r.unclean = m->r.has_unclean = true; /* until its guest has ended by itself */
	dm_watch_fill(m);
	if (m->wants_hello) /* the step waits already: it is another launch of it */
		vm_hung_watch(m);
}

void machine_vmm_end(struct machine *m)
{
	vmm_kill(m);
}

static const char *reason_of(const struct machine *m)
{
	if (console_says(m, "Kernel panic - not syncing"))
		return "guest_panic";
	if (m->guest_reset)
		return "guest_reboot";
	return m->guest_down ? "guest_shutdown" : "vmm_died";
}

/* Its guest did not unmount what it had mounted. */
static bool ended_badly(const struct machine *m)
{
	return !(m->guest_down || m->guest_reset) || str_eq(reason_of(m), "guest_panic");
}

/* Runtime files go with the VMM; the record says so. */
void machine_vmm_gone(struct machine *m)
{
	char path[64];
	struct why why;

	machine_name_down(m);
	child_free(m->child);
	m->child = NULL;
	m->r.has_pid = m->r.has_pid_start = false;
	m->r.boot_id = NULL;
	jail_clean(m);
	machine_dir(m, path, sizeof(path), "");
	if (world_remove(m->v->world, RUNTIME, path, &why))
		log_line(LOG_WARN, "vm", "sockets left behind", "vm", m->id, "why", why.text, NULL);
}

/* The same boot step goes on with another process. */
static void relaunch(struct machine *m)
{
	char path[64];
	struct why why;

	machine_dir(m, path, sizeof(path), "");
	if (world_mkdir(m->v->world, RUNTIME, path, &why) || vmm_launch(m, &why) == FLOW_FAILED) {
		m->wants_hello = false;
		flow_fail(&m->flow, m->hello_ticket, &why);
	}
}

void machine_vmm_ended(struct machine *m, int status)
{
	const char *reason;
	struct why why;

	console_drain(m);
	/* an end that was asked for says nothing about the guest */
	reason = m->wants_end || m->flow.undoing ? "stopped" : reason_of(m);
	machine_set_reason(m, reason);
	m->r.unclean = m->r.unclean && ended_badly(m);
	log_line(LOG_INFO, "vm", "vmm ended", "vm", m->id, "name", m->name, "reason", reason,
		"status", log_u64((uint64_t)(status & 0xffff)).s, NULL);
	fail(&why, ERR_vmm_failed, "the machine's process ended (%s) before its agent answered",
		reason);
	if (m->driver->console_is_fifo)
		fail_hint(&why, "see `banger vm logs %s`", m->name);
	else
		fail_hint(&why, "see `banger vm logs %s` and %s/vm/%s/vmm.log", m->name,
			m->v->env->state_dir, m->id);
	machine_close_links(m);
	machine_vmm_gone(m);
	if (m->relaunch) {
		m->relaunch = false;
		relaunch(m);
		return;
	}
	if (m->on_probation) {
		vm_probation_failed(m, &why);
		return;
	}
	if (!flow_active(&m->flow)) {
		machine_write(m);
		forwards_close(m);
		machine_changed(m);
		if (str_eq(reason, "guest_reboot"))
			op_begin(m->v, NULL, m);
		return;
	}
	if (m->wants_end) {
		m->wants_end = false;
		flow_done(&m->flow, m->ended_ticket);
	} else if (m->wants_launch) {
		machine_launched(m, &why);
	} else if (m->wants_hello) {
		m->wants_hello = false;
		flow_fail(&m->flow, m->hello_ticket, &why);
	} else if (m->flow.state == FLOW_CLOSING) {
		m->stale = true;
	} else if (!m->flow.undoing) {
		flow_cancel(&m->flow, &why);
	}
}

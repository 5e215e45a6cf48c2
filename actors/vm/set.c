/*
 * set.c - vm.set: another size for a machine that exists (row B2).
 *
 * What a stopped machine is given holds at once; a running one gets it at its next start and its
 * record keeps both, so that what is told of it stays true. A work disk grows while its machine
 * runs where the VMM can do that: first the record says that it is wanted, then the VMM makes the
 * disk bigger, then the agent its filesystem. Whatever breaks in between, the next start does what
 * is left, since a disk that is as long as wanted is no fault and the guest fills it when it boots.
 */
#include "actors/shared/records.h"
#include "actors/vm/vm.h"
#include "base/log.h"
#include "base/text.h"

enum { WRITE_MS = 60000, GROW_MS = 60000 };

static uint64_t disk_wanted(const struct machine *m)
{
	return m->r.has_next_disk ? m->r.next_disk : m->r.disk;
}

void set_info(const struct machine *m, struct vm_info *ret)
{
	ret->next_vcpus = m->r.next_vcpus;
	ret->has_next_vcpus = m->r.has_next_vcpus;
	ret->next_memory = m->r.next_memory;
	ret->has_next_memory = m->r.has_next_memory;
	ret->next_disk = m->r.next_disk;
	ret->has_next_disk = m->r.has_next_disk;
}

enum err set_apply(struct machine *m, struct why *why)
{
	struct vm_record *r = &m->r;
	enum err e = layer_grow(m, disk_wanted(m), why);

	if (e)
		return e;
	r->disk = disk_wanted(m);
	r->vcpus = r->has_next_vcpus ? r->next_vcpus : r->vcpus;
	r->memory = r->has_next_memory ? r->next_memory : r->memory;
	r->has_next_vcpus = r->has_next_memory = r->has_next_disk = false;
	return OK;
}

/* ---- answers ---- */

static void answer_now(struct machine *m, struct reply_to reply)
{
	struct vm_info info;

	machine_info(m, false, &info);
	answer(m->v->me, reply, &info);
}

static void set_over(struct machine *m, const struct why *why)
{
	struct reply_to reply = m->set.reply;

	world_timer_stop(&m->set.deadline);
	m->set.reply.serial = 0;
	m->set.filling = false;
	if (why)
		refuse(m->v->me, reply, why);
	else
		answer_now(m, reply);
}

void set_ends(struct machine *m, const struct why *why)
{
	struct why later = *why;

	if (m->set.reply.serial == 0)
		return;
	fail_hint(&later, "its work disk grows at its next start");
	set_over(m, &later);
}

/* ---- a disk that grows while its machine runs ---- */

static void filled(void *ctx, const struct why *why, struct bytes result UNUSED)
{
	struct machine *m = CONTAINER_OF(ctx, struct machine, set);
	struct why bad;

	if (m->set.reply.serial == 0 || !m->set.filling)
		return;
	if (why) {
		bad = *why;
		fail(&bad, ERR_guest_failed,
			"the work disk of %s has grown, its filesystem has not: %s", m->name,
			why->text);
		fail_hint(&bad, "`banger vm restart %s` grows it", m->name);
	}
	set_over(m, why ? &bad : NULL);
}

void set_disk_grew(struct machine *m, bool did)
{
	struct agent_grow q = { m->r.next_disk };
	struct why why;

	if (m->set.reply.serial == 0 || m->set.filling || !m->r.has_next_disk)
		return;
	if (!did) { /* it stays what the next start does */
		log_line(LOG_WARN, "vm", "work disk not grown", "vm", m->id, NULL);
		set_over(m, NULL);
		return;
	}
	m->set.filling = true;
	m->r.disk = m->r.next_disk;
	m->r.has_next_disk = false;
	machine_write(m);
	if (!m->link.rpc)
		fail(&why, ERR_guest_failed, "its agent does not answer");
	if (!m->link.rpc ||
		rpc_ask(m->link.rpc, &letter_kinds[LETTER_agent_grow], &q, filled, &m->set, &why))
		filled(&m->set, &why, (struct bytes){ NULL, 0 });
}

static void too_late(void *ctx)
{
	struct machine *m = ctx;
	struct why why;

	if (m->link.rpc)
		rpc_forget(m->link.rpc, &m->set);
	fail(&why, ERR_timeout, "the work disk of %s did not grow within %d seconds", m->name,
		GROW_MS / 1000);
	set_ends(m, &why);
}

static bool grows_live(const struct machine *m)
{
	return m->child && m->r.has_next_disk && m->driver->grow && link_up(m);
}

/* The record is on disk. */
static void noted(struct machine *m, const struct why *why)
{
	struct why none;

	if (why) {
		set_over(m, why);
	} else if (!grows_live(m) || m->driver->grow(m, m->r.next_disk, &none)) {
		set_over(m, NULL);
	}
}

static void written(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct machine *m = machine_by_serial(state, (uint32_t)ctx);

	if (m && m->set.reply.serial)
		noted(m, why);
}

/* ---- the letter ---- */

static enum err check_disk(const struct machine *m, uint64_t disk, struct why *why)
{
	uint64_t has = MAX(m->r.disk, disk_wanted(m));
	char now[24], asked[24];

	if (disk >= has)
		return OK;
	show_size(now, sizeof(now), has);
	show_size(asked, sizeof(asked), disk);
	fail_field(why, ERR_invalid_value, "disk",
		"the work disk of %s has %s; it cannot shrink to %s, since what is in it may lie "
		"at its end",
		m->name, now, asked);
	return fail_hint(
		why, "make a machine with `--disk %s` and copy with `banger vm cp`", asked);
}

/* What the record will say, checked as a new machine's would be. */
static enum err check(const struct machine *m, const struct vm_set *q, struct why *why)
{
	struct vm_record r = m->r;

	if (flow_active(&m->flow) || m->on_probation)
		return fail(why, ERR_conflict, "machine %s is %s", m->name,
			word_of(vm_state, machine_state(m)));
	if (!q->has_vcpus && !q->has_memory && !q->has_disk)
		return fail(why, ERR_missing_field, "nothing to set: vcpus, memory or disk");
	if (m->set.reply.serial)
		return fail(why, ERR_conflict, "%s is being set already", m->name);
	if (q->has_disk && check_disk(m, q->disk, why))
		return why->code;
	r.vcpus = q->has_vcpus ? q->vcpus : r.vcpus;
	r.memory = q->has_memory ? q->memory : r.memory;
	return q->has_vcpus || q->has_memory ? m->driver->probe(m->v, &r, why) : OK;
}

static void note_wanted(struct machine *m, const struct vm_set *q)
{
	struct vm_record *r = &m->r;

	if (q->has_vcpus) {
		r->next_vcpus = q->vcpus;
		r->has_next_vcpus = r->next_vcpus != r->vcpus;
	}
	if (q->has_memory) {
		r->next_memory = q->memory & ~(uint64_t)(2 * MiB - 1);
		r->has_next_memory = r->next_memory != r->memory;
	}
	if (q->has_disk) {
		r->next_disk = (q->disk + 511) & ~(uint64_t)511;
		r->has_next_disk = r->next_disk != r->disk;
	}
}

void vm_set(void *state, const struct letter *l, const void *body)
{
	const struct vm_set *q = body;
	struct vmd *v = state;
	struct machine *m = machine_find(v, q->vm);
	struct arena a = { .max = 64 * KiB };
	struct store_put put = { .table = store_table_vm };
	struct store_write w = { .puts = { &put, 1 } };
	struct vm_record before;
	struct why why;

	if (!m) {
		fail_field(&why, ERR_not_found, "vm", "no machine '%s'", q->vm);
		fail_hint(&why, "`banger vm list` shows the machines");
	}
	if (!m || check(m, q, &why)) {
		refuse(v->me, l->reply, &why);
		return;
	}
	before = m->r;
	note_wanted(m, q);
	if (!m->child && set_apply(m, &why)) {
		m->r = before;
		refuse(v->me, l->reply, &why);
		return;
	}
	log_line(LOG_INFO, "vm", "set", "vm", m->id, "name", m->name, "client",
		log_u64(l->client).s, NULL);
	m->set.reply = l->reply;
	world_timer(v->world, &m->set.deadline, GROW_MS, too_late, m);
	machine_save(m, &put, &a);
	ask(v->me, LETTER_store_write, &w, WRITE_MS, written, m->serial);
	arena_done(&a);
}

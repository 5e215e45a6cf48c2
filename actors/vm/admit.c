/*
 * admit.c - whether the host can carry one more machine (row B14).
 *
 * Memory that was promised to machines that boot is not taken yet, so the kernel's number knows
 * nothing of it; a counter does, kept as flows begin and end, so that a create costs the same with
 * many machines as with few. A work disk is sparse: one whose size was asked for must fit as a
 * whole, one of the configured size need only begin to.
 */
#include "actors/vm/vm.h"
#include "base/text.h"

enum { DISK_LEAST = 64 * MiB }; /* what any machine writes soon */

void admit_promise(struct machine *m, uint64_t memory, uint64_t disk)
{
	struct vmd *v = m->v;

	v->promised_memory += memory - m->promised_memory;
	v->promised_disk += disk - m->promised_disk;
	m->promised_memory = memory;
	m->promised_disk = disk;
}

enum err admit_memory(const struct vmd *v, uint64_t memory, struct why *why)
{
	char want[24], room[24], promised[24];
	struct host_facts host;

	world_host_facts(v->world, &host);
	if (host.memory_free == 0 || memory + v->promised_memory <= host.memory_free)
		return OK;
	show_size(want, sizeof(want), memory);
	show_size(room, sizeof(room), host.memory_free);
	show_size(promised, sizeof(promised), v->promised_memory);
	fail_field(why, ERR_no_memory, "memory",
		"the machine wants %s of memory; this host has %s available%s%s", want, room,
		v->promised_memory ? ", of which machines that are booting get " : "",
		v->promised_memory ? promised : "");
	return fail_hint(why, "use a smaller --memory, stop a machine, or pass --force");
}

enum err admit_disk(const struct vmd *v, uint64_t disk, struct why *why)
{
	char want[24], room[24], promised[24];
	uint64_t least = MAX(disk, (uint64_t)DISK_LEAST), there;

	if (world_free_space(v->world, STATE, &there, NULL) || least + v->promised_disk <= there)
		return OK;
	show_size(want, sizeof(want), least);
	show_size(room, sizeof(room), there);
	show_size(promised, sizeof(promised), v->promised_disk);
	fail_field(why, ERR_no_space, "disk",
		"the machine wants %s of disk; %.200s has %s free%s%s", want, v->env->state_dir,
		room, v->promised_disk ? ", of which machines that are being made get " : "",
		v->promised_disk ? promised : "");
	return fail_hint(why, "`banger prune` frees what nothing uses; --force makes it anyway");
}

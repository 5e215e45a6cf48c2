/*
 * cmd_vm_set.c - `banger vm set`: another size for machines that exist.
 */
#include "base/text.h"
#include "cli/each.h"

static const struct flag flags[] = {
	{ .name = "vcpus", .type = &type_u64, .value = "N", .doc = "virtual CPUs, 1 to 64" },
	{ .name = "memory", .type = &type_size, .value = "SIZE", .doc = "memory, like 512M or 2G" },
	{ .name = "disk",
		.type = &type_size,
		.value = "SIZE",
		.doc = "work disk, like 20G; it only grows, and its filesystem with it" },
	{ .name = NULL },
};

/* What holds from the next start only is said, so that nobody looks for it before. */
static void say_what_waits(struct cli *c, const struct vm_info *vm)
{
	char memory[24] = "", disk[24] = "", vcpus[24] = "";

	if (!vm->has_next_vcpus && !vm->has_next_memory && !vm->has_next_disk)
		return;
	if (vm->has_next_vcpus)
		snprintf(vcpus, sizeof(vcpus), "%llu", (unsigned long long)vm->next_vcpus);
	if (vm->has_next_memory)
		show_size(memory, sizeof(memory), vm->next_memory);
	if (vm->has_next_disk)
		show_size(disk, sizeof(disk), vm->next_disk);
	note(c, "%s runs: from its next start on (`banger vm restart %s`)%s%s%s%s%s%s", vm->name,
		vm->name, vcpus[0] ? " vcpus " : "", vcpus, memory[0] ? " memory " : "", memory,
		disk[0] ? " disk " : "", disk);
}

static int set(struct cli *c)
{
	struct each s;
	struct why why;
	int code;

	if (!flag_given(c, "vcpus")->set && !flag_given(c, "memory")->set &&
		!flag_given(c, "disk")->set) {
		fail(&why, ERR_missing_field, "nothing to set");
		fail_hint(&why, "give --vcpus, --memory or --disk");
		return report_usage(c, &why);
	}
	code = each_ask(&s, c, LETTER_vm_set, "vm");
	if (code)
		return code;
	if (c->json)
		return each_json(&s, NULL);
	for (unsigned i = 0; i < s.n; i++) {
		if (!each_good(&s, i))
			continue;
		printf("%s\n", s.names[i]);
		say_what_waits(c, each_result(&s, i));
	}
	return each_failures(&s);
}

const struct command cmd_vm_set = {
	.words = "vm set",
	.args = "NAME...",
	.least = 1,
	.most = UINT32_MAX,
	.offer = OFFER_VMS,
	.flags = flags,
	.doc = "change CPUs, memory and work disk of machines",
	.more = "A stopped machine has them at once. A running one gets CPUs and memory at its "
		"next start; its work\ndisk grows while it runs where the VMM can do that (qemu), "
		"else at its next start. A disk never\nshrinks.",
	.example = "banger vm set --memory 4G --vcpus 4 web\n"
		   "banger vm set --disk 40G web db",
	.run = set,
};

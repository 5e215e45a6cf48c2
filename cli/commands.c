/*
 * commands.c - the list of commands, in the order in which help shows them.
 */
#include "cli/cli.h"

/* clang-format off */
#define COMMANDS(C) \
	C(vm_run) \
	C(vm_create) \
	C(vm_start) \
	C(vm_stop) \
	C(vm_kill) \
	C(vm_restart) \
	C(vm_delete) \
	C(vm_list) \
	C(vm_show) \
	C(vm_exec) \
	C(vm_ssh) \
	C(vm_cp) \
	C(vm_logs) \
	C(vm_wait) \
	C(vm_health) \
	C(vm_ports) \
	C(vm_stats) \
	C(vm_set) \
	C(vm_prune) \
	C(vm_forward) \
	C(vm_proxy) \
	C(workspace_prepare) \
	C(workspace_diff) \
	C(workspace_export) \
	C(image_pull) \
	C(image_import) \
	C(image_export) \
	C(image_catalog) \
	C(image_list) \
	C(image_show) \
	C(image_register) \
	C(image_promote) \
	C(image_prune) \
	C(image_delete) \
	C(kernel_list) \
	C(kernel_show) \
	C(kernel_pull) \
	C(kernel_import) \
	C(kernel_delete) \
	C(kernel_default) \
	C(daemon_start) \
	C(daemon_stop) \
	C(daemon_status) \
	C(daemon_restart) \
	C(daemon_logs) \
	C(system_install) \
	C(system_status) \
	C(system_restart) \
	C(system_uninstall) \
	C(doctor) \
	C(config_show) \
	C(config_path) \
	C(prune) \
	C(ssh_config) \
	C(bench) \
	C(ping) \
	C(events) \
	C(version) \
	C(completion) \
	C(help) \
	C(complete) \
	C(man) \
	C(ssh_user)
/* clang-format on */

#define DECLARE(name) extern const struct command cmd_##name;
COMMANDS(DECLARE)
#undef DECLARE

#define POINT(name) &cmd_##name,
const struct command *const all_commands[] = { COMMANDS(POINT) NULL };
#undef POINT

static const struct {
	const char *word, *doc;
} groups[] = {
	{ "vm", "machines" },
	{ "workspace", "git repositories in machines, and what becomes of them there" },
	{ "image", "images, which machines are made from" },
	{ "kernel", "kernels, which machines boot" },
	{ "daemon", "the daemon, which owns the machines" },
	{ "system", "the system install: services for all of the host's boot" },
	{ "config", "configuration" },
};

const char *group_doc(const char *word)
{
	for (size_t i = 0; i < COUNT(groups); i++)
		if (str_eq(groups[i].word, word))
			return groups[i].doc;
	return NULL;
}

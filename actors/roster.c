/*
 * roster.c - who exists, who may write what to whom, and start order. Wiring happens here and only
 * here: an actor has no header, its class is declared where it is hired.
 */
#include "actors/roster.h"

extern const struct actor_class store_actor, image_actor, kernel_actor, priv_actor, net_actor,
	dns_actor, vm_actor, gate_actor;

static const struct actor_class *const classes[ACTOR_COUNT] = {
	[STORE_ACTOR] = &store_actor,
	[IMAGE_ACTOR] = &image_actor,
	[KERNEL_ACTOR] = &kernel_actor,
	[PRIV_ACTOR] = &priv_actor,
	[NET_ACTOR] = &net_actor,
	[DNS_ACTOR] = &dns_actor,
	[VM_ACTOR] = &vm_actor,
	[GATE_ACTOR] = &gate_actor,
};

#define R(letter, to, from) \
	{ \
		LETTER_##letter, to, from \
	}

static const struct route routes[] = {
	/* what clients may ask, through the gate */
	R(vm_create_begin, VM_BIT, GATE_BIT),
	R(vm_create_status, VM_BIT, GATE_BIT),
	R(vm_start, VM_BIT, GATE_BIT),
	R(vm_stop, VM_BIT, GATE_BIT),
	R(vm_kill, VM_BIT, GATE_BIT),
	R(vm_restart, VM_BIT, GATE_BIT),
	R(vm_delete, VM_BIT, GATE_BIT),
	R(vm_set, VM_BIT, GATE_BIT),
	R(vm_list, VM_BIT, GATE_BIT),
	R(vm_show, VM_BIT, GATE_BIT),
	R(vm_exec, VM_BIT, GATE_BIT),
	R(vm_put, VM_BIT, GATE_BIT),
	R(vm_get, VM_BIT, GATE_BIT),
	R(vm_dial, VM_BIT, GATE_BIT),
	R(vm_ssh, VM_BIT, GATE_BIT),
	R(space_where, VM_BIT, GATE_BIT),
	R(space_put, VM_BIT, GATE_BIT),
	R(space_survey, VM_BIT, GATE_BIT),
	R(space_pick, VM_BIT, GATE_BIT),
	R(vm_logs, VM_BIT, GATE_BIT),
	R(vm_wait, VM_BIT, GATE_BIT),
	R(vm_health, VM_BIT, GATE_BIT),
	R(vm_ports, VM_BIT, GATE_BIT),
	R(vm_stats, VM_BIT, GATE_BIT),
	R(doctor_look, VM_BIT, GATE_BIT),
	R(vm_explain, VM_BIT, GATE_BIT),
	R(image_list, IMAGE_BIT, GATE_BIT),
	R(image_show, IMAGE_BIT, GATE_BIT),
	R(image_import, IMAGE_BIT, GATE_BIT),
	R(image_register, IMAGE_BIT, GATE_BIT),
	R(image_promote, IMAGE_BIT, GATE_BIT),
	R(image_prune, IMAGE_BIT, GATE_BIT),
	R(image_pull, IMAGE_BIT, GATE_BIT),
	R(image_catalog, IMAGE_BIT, GATE_BIT),
	R(image_export, IMAGE_BIT, GATE_BIT),
	R(image_delete, IMAGE_BIT, GATE_BIT),
	R(kernel_list, KERNEL_BIT, GATE_BIT),
	R(kernel_show, KERNEL_BIT, GATE_BIT),
	R(kernel_pull, KERNEL_BIT, GATE_BIT),
	R(kernel_import, KERNEL_BIT, GATE_BIT),
	R(kernel_delete, KERNEL_BIT, GATE_BIT),
	R(kernel_default, KERNEL_BIT, GATE_BIT),
	R(op_cancel, SERVES_CLIENTS, GATE_BIT),
	/* streams, both ways */
	R(stream_data, SERVES_CLIENTS | GATE_BIT, SERVES_CLIENTS | GATE_BIT),
	R(stream_credit, SERVES_CLIENTS | GATE_BIT, SERVES_CLIENTS | GATE_BIT),
	R(stream_resize, SERVES_CLIENTS, GATE_BIT),
	R(stream_signal, SERVES_CLIENTS, GATE_BIT),
	R(stream_end, GATE_BIT, SERVES_CLIENTS),
	/* news for clients */
	R(op_stage, GATE_BIT, SERVES_CLIENTS),
	R(op_done, GATE_BIT, SERVES_CLIENTS),
	R(event, GATE_BIT, SERVES_CLIENTS),
	/* between actors */
	R(client_gone, SERVES_CLIENTS, GATE_BIT),
	R(vm_counts, VM_BIT, GATE_BIT),
	R(dns_publish, DNS_BIT, VM_BIT),
	R(dns_withdraw, DNS_BIT, VM_BIT),
	R(dns_status, DNS_BIT, GATE_BIT),
	R(dns_news, GATE_BIT, DNS_BIT),
	R(image_hold, IMAGE_BIT, VM_BIT),
	R(image_drop, IMAGE_BIT, VM_BIT),
	R(kernel_hold, KERNEL_BIT, VM_BIT),
	R(kernel_drop, KERNEL_BIT, VM_BIT),
	R(store_write, STORE_BIT, KEEPS_RECORDS),
	R(store_scan, STORE_BIT, KEEPS_RECORDS),
	R(net_settle, NET_BIT, VM_BIT),
	R(net_lease, NET_BIT, VM_BIT),
	R(net_release, NET_BIT, VM_BIT),
	R(net_status, NET_BIT, GATE_BIT),
	/* who may ask root for what: the network's things */
	R(priv_ensure_bridge, PRIV_BIT, NET_BIT),
	R(priv_create_tap, PRIV_BIT, NET_BIT),
	R(priv_delete_tap, PRIV_BIT, NET_BIT),
	R(priv_ensure_nat, PRIV_BIT, NET_BIT),
	R(priv_sync_resolver_routing, PRIV_BIT, NET_BIT),
	R(priv_clear_resolver_routing, PRIV_BIT, NET_BIT),
	/* ... disks */
	R(priv_create_dm_snapshot, PRIV_BIT, VM_BIT),
	R(priv_cleanup_dm_snapshot, PRIV_BIT, VM_BIT),
	R(priv_remove_dm_snapshot, PRIV_BIT, VM_BIT),
	R(priv_dm_status, PRIV_BIT, VM_BIT),
	R(priv_fsck_snapshot, PRIV_BIT, VM_BIT),
	R(priv_read_ext4_file, PRIV_BIT, VM_BIT),
	R(priv_write_ext4_files, PRIV_BIT, VM_BIT),
	/* ... and VMMs */
	R(priv_launch_vmm, PRIV_BIT, VM_BIT),
	R(priv_kill_process, PRIV_BIT, VM_BIT),
	R(priv_signal_process, PRIV_BIT, VM_BIT),
	R(priv_connect_vmm, PRIV_BIT, VM_BIT),
	R(priv_cleanup_jailer_chroot, PRIV_BIT, VM_BIT),
	R(priv_ensure_socket_access, PRIV_BIT, VM_BIT),
	/* ... and what of all that is there */
	R(priv_list_things, PRIV_BIT, VM_BIT),
	/* which build it is, for whoever is asked how things are */
	R(priv_ping, PRIV_BIT, NET_BIT | GATE_BIT),
};

enum err roster_house(
	struct env *env, const struct house_world *world, struct house **ret, struct why *why)
{
	struct house_setup setup = {
		.classes = classes,
		.actors = ACTOR_COUNT,
		.routes = routes,
		.routes_n = COUNT(routes),
		.kinds = letter_kinds,
		.kinds_n = LETTER_COUNT,
		.world = *world,
		.env = env,
	};

	return house_new(&setup, ret, why);
}

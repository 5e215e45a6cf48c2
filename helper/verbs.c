/*
 * verbs.c - everything that the owner may ask of root. What is not in this table is refused.
 */
#include "helper/verbs.h"

const struct verb verbs[] = {
	{ LETTER_priv_ping, NULL, NULL, ping_act, "none" },
	{ LETTER_priv_ensure_bridge, bridge_check, bridge_about, bridge_act,
		"the subnet's prefix, a host's address inside the subnet; no overlap with "
		"anybody's address or route; an existing link only when the ledger knows it; at "
		"most 8 bridges; only nft tables `inet banger` and `bridge banger`, refused when "
		"somebody else's" },
	{ LETTER_priv_create_tap, NULL, create_tap_about, create_tap_act,
		"a bridge of the ledger; a new link, or one of the ledger; at most 1,000 taps; "
		"root's, isolated from other taps, silent until an address is bound to it" },
	{ LETTER_priv_delete_tap, NULL, tap_about, delete_tap_act,
		"a tap of the ledger by name and link number; one that is gone is fine" },
	{ LETTER_priv_ensure_nat, nat_check, nat_about, nat_act,
		"an address inside the subnet, not the network's, the broadcast or the bridge's; a "
		"tap of the ledger; the tap then sends that source address or nothing" },
	{ LETTER_priv_sync_resolver_routing, NULL, sync_resolver_about, sync_resolver_act,
		"a bridge of the ledger; only its link, only names under .vm; the system bus at "
		"its fixed address" },
	{ LETTER_priv_clear_resolver_routing, NULL, clear_resolver_about, clear_resolver_act,
		"a bridge of the ledger; only its link" },
	{ LETTER_priv_ensure_socket_access, socket_check, socket_about, socket_act,
		"beneath the runtime directory, no link followed and no mount entered; a socket "
		"with one link; changed by descriptor" },
	{ LETTER_priv_create_dm_snapshot, snapshot_make_check, snapshot_make_about,
		snapshot_make_act,
		"both beneath the state directory, no link on the way, regular, the owner's, one "
		"link, on no FUSE; changes open nowhere else, empty or a snapshot's of 4 KiB "
		"chunks, at most twice the base and 64 MiB; 1,000 snapshots" },
	{ LETTER_priv_cleanup_dm_snapshot, snapshot_cleanup_check, snapshot_cleanup_about,
		snapshot_cleanup_act,
		"names agree; device and loops bear a mark of the ledger; what is gone is fine" },
	{ LETTER_priv_remove_dm_snapshot, NULL, snapshot_remove_about, snapshot_remove_act,
		"the device bears its mark of the ledger; what is gone is fine" },
	{ LETTER_priv_dm_status, NULL, NULL, snapshot_status_act,
		"the device bears its mark of the ledger" },
	{ LETTER_priv_fsck_snapshot, NULL, fsck_about, fsck_act,
		"the device bears its mark of the ledger and nobody has it open; e2fsck is "
		"root's alone, and runs under another uid without capability" },
	{ LETTER_priv_read_ext4_file, image_read_check, image_read_about, image_read_act,
		"image beneath the state directory, no link on the way, regular, the owner's, one "
		"link, nobody writes it; or a snapshot that bears its mark and that nobody has "
		"open; no link followed inside; at most 48 KiB" },
	{ LETTER_priv_write_ext4_files, image_write_check, image_write_about, image_write_act,
		"image as for reading, and nobody has it open; no link followed inside; at most "
		"48 KiB in all" },
	{ LETTER_priv_kill_process, NULL, NULL, kill_act,
		"a process that the ledger knows as a VMM of this helper: held pidfd, or after a "
		"restart pid, start time, uid and jail; its command line names the VMM; signalled "
		"through the pidfd" },
	{ LETTER_priv_signal_process, NULL, NULL, signal_act, "as priv.kill_process" },
	{ LETTER_priv_cleanup_jailer_chroot, chroot_check, chroot_about, chroot_act,
		"two components below the jail base, or those and root; refused while its VMM "
		"lives; links are refused, mounts are detached deepest first and must be gone "
		"before anything is deleted; deletion stays in the tree and on its device" },
	{ LETTER_priv_launch_vmm, launch_check, launch_about, launch_act,
		"programs: regular, root's, executable, writable by nobody else, and so their "
		"directory, run by descriptor; files: regular, the owner's, one link, beneath the "
		"state directory, no link followed; snapshots and taps of the ledger only; one "
		"machine, one jail, one uid; no network but its taps for qemu" },
	{ LETTER_priv_connect_vmm, NULL, NULL, connect_act,
		"a machine whose VMM lives; a socket (or the console's FIFO) in its jail, opened "
		"without following a link" },
	{ LETTER_priv_list_things, things_check, NULL, things_act,
		"only read: the ledger, and whether the host has what it names" },
	{ LETTER_COUNT, NULL, NULL, NULL, NULL },
};

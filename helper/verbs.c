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
	{ LETTER_COUNT, NULL, NULL, NULL, NULL },
};

/*
 * helper/rules.h - the fixed part of banger's two nft tables, in libnftables' JSON; what varies are
 * elements of sets (nft.c). In nft's own words:
 *
 *	table inet banger {
 *		set bridges { type ifname; }
 *		set out { type ipv4_addr; }	guests that may reach outside
 *		chain from_guests {
 *			oifname @bridges drop	no guest reaches another
 *			ip daddr 169.254.0.0/16 drop	nor the host's own cloud (its credentials)
 *			ip saddr @out accept
 *			drop
 *		}
 *		chain to_guests { ct state established,related accept; drop; }
 *		chain to_host { ct state established,related accept;
 *			icmp type echo-request accept; drop; }
 *		chain forward { type filter hook forward priority 0; policy accept;
 *			iifname @bridges jump from_guests; oifname @bridges jump to_guests; }
 *		chain input { type filter hook input priority 0; policy accept;
 *			iifname @bridges jump to_host; }
 *		chain nat { type nat hook postrouting priority 100; policy accept;
 *			ip saddr @out oifname != @bridges masquerade; }
 *	}
 *	table bridge banger {
 *		set taps { type ifname; }
 *		set own { type ifname . ipv4_addr; }	each tap's one address
 *		chain from_tap { iifname . ip saddr @own accept;
 *			iifname . arp saddr ip @own accept; drop; }
 *		chain to_tap { oifname . ip daddr @own accept;
 *			oifname . arp daddr ip @own accept; drop; }
 *		chain ports { type filter hook prerouting priority -300; policy accept;
 *			iifname @taps goto from_tap; }
 *		chain out { type filter hook output priority 0; policy accept;
 *			oifname @taps goto to_tap; }
 *	}
 *
 * So a tap sends its own address or nothing, and gets what is for its address or nothing: no IPv6,
 * no VLAN, no other guest's frames. Of the host a guest sees answers and ping.
 */
#ifndef HELPER_RULES_H
#define HELPER_RULES_H

#define R_CHAIN(family, name) \
	"{\"add\":{\"chain\":{\"family\":\"" family "\",\"table\":\"banger\",\"name\":\"" name \
	"\"}}},"
#define R_HOOK(family, name, type, hook, prio) \
	"{\"add\":{\"chain\":{\"family\":\"" family "\",\"table\":\"banger\",\"name\":\"" name \
	"\",\"type\":\"" type "\",\"hook\":\"" hook "\",\"prio\":" prio \
	",\"policy\":\"accept\"}}},"
#define R_SET(family, name, type) \
	"{\"add\":{\"set\":{\"family\":\"" family "\",\"table\":\"banger\",\"name\":\"" name \
	"\",\"type\":" type "}}},"
#define R_RULE(family, chain, expr) \
	"{\"add\":{\"rule\":{\"family\":\"" family "\",\"table\":\"banger\",\"chain\":\"" chain \
	"\",\"expr\":[" expr "]}}},"
#define R_MATCH(op, left, right) \
	"{\"match\":{\"op\":\"" op "\",\"left\":" left ",\"right\":" right "}},"
#define R_META(key) "{\"meta\":{\"key\":\"" key "\"}}"
#define R_FIELD(protocol, field) \
	"{\"payload\":{\"protocol\":\"" protocol "\",\"field\":\"" field "\"}}"
#define R_PAIR(one, two) "{\"concat\":[" one "," two "]}"
#define R_ANSWERS \
	R_MATCH("in", "{\"ct\":{\"key\":\"state\"}}", "[\"established\",\"related\"]") R_ACCEPT
#define R_ACCEPT "{\"accept\":null}"
#define R_DROP "{\"drop\":null}"
#define R_GO(how, chain) "{\"" how "\":{\"target\":\"" chain "\"}}"

#define RULES_INET \
	R_SET("inet", "bridges", "\"ifname\"") \
	R_SET("inet", "out", "\"ipv4_addr\"") \
	R_CHAIN("inet", "from_guests") \
	R_CHAIN("inet", "to_guests") \
	R_CHAIN("inet", "to_host") \
	R_RULE("inet", "from_guests", R_MATCH("==", R_META("oifname"), "\"@bridges\"") R_DROP) \
	R_RULE("inet", "from_guests", \
		R_MATCH("==", R_FIELD("ip", "daddr"), \
			"{\"prefix\":{\"addr\":\"169.254.0.0\",\"len\":16}}") R_DROP) \
	R_RULE("inet", "from_guests", R_MATCH("==", R_FIELD("ip", "saddr"), "\"@out\"") R_ACCEPT) \
	R_RULE("inet", "from_guests", R_DROP) \
	R_RULE("inet", "to_guests", R_ANSWERS) \
	R_RULE("inet", "to_guests", R_DROP) \
	R_RULE("inet", "to_host", R_ANSWERS) \
	R_RULE("inet", "to_host", \
		R_MATCH("==", R_FIELD("icmp", "type"), "\"echo-request\"") R_ACCEPT) \
	R_RULE("inet", "to_host", R_DROP) \
	R_HOOK("inet", "forward", "filter", "forward", "0") \
	R_RULE("inet", "forward", \
		R_MATCH("==", R_META("iifname"), "\"@bridges\"") R_GO("jump", "from_guests")) \
	R_RULE("inet", "forward", \
		R_MATCH("==", R_META("oifname"), "\"@bridges\"") R_GO("jump", "to_guests")) \
	R_HOOK("inet", "input", "filter", "input", "0") \
	R_RULE("inet", "input", \
		R_MATCH("==", R_META("iifname"), "\"@bridges\"") R_GO("jump", "to_host")) \
	R_HOOK("inet", "nat", "nat", "postrouting", "100") \
	R_RULE("inet", "nat", \
		R_MATCH("==", R_FIELD("ip", "saddr"), "\"@out\"") \
			R_MATCH("!=", R_META("oifname"), "\"@bridges\"") "{\"masquerade\":null}")

#define R_OWN(chain, dev, protocol, field) \
	R_RULE("bridge", chain, \
		R_MATCH("==", R_PAIR(R_META(dev), R_FIELD(protocol, field)), "\"@own\"") R_ACCEPT)

#define RULES_BRIDGE \
	R_SET("bridge", "taps", "\"ifname\"") \
	R_SET("bridge", "own", "[\"ifname\",\"ipv4_addr\"]") \
	R_CHAIN("bridge", "from_tap") \
	R_CHAIN("bridge", "to_tap") \
	R_OWN("from_tap", "iifname", "ip", "saddr") \
	R_OWN("from_tap", "iifname", "arp", "saddr ip") \
	R_RULE("bridge", "from_tap", R_DROP) \
	R_OWN("to_tap", "oifname", "ip", "daddr") \
	R_OWN("to_tap", "oifname", "arp", "daddr ip") \
	R_RULE("bridge", "to_tap", R_DROP) \
	R_HOOK("bridge", "ports", "filter", "prerouting", "-300") \
	R_RULE("bridge", "ports", \
		R_MATCH("==", R_META("iifname"), "\"@taps\"") R_GO("goto", "from_tap")) \
	R_HOOK("bridge", "out", "filter", "output", "0") \
	R_RULE("bridge", "out", \
		R_MATCH("==", R_META("oifname"), "\"@taps\"") R_GO("goto", "to_tap"))

#endif

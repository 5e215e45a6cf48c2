/*
 * nic.c - rtnetlink: one message, one answer. The kernel does what a message says before it
 * answers, so a socket of our own never waits for anybody.
 */
#include "helper/nic.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/random.h>

#include "base/text.h"

struct nics {
	struct nl_sock *sock;
};

static enum err code_of(int nle)
{
	switch (-nle) {
	case NLE_EXIST:
		return ERR_exists;
	case NLE_OBJ_NOTFOUND:
	case NLE_NODEV:
	case NLE_NOADDR:
		return ERR_not_found;
	case NLE_NOMEM:
		return ERR_no_memory;
	case NLE_PERM:
	case NLE_NOACCESS:
		return ERR_denied;
	case NLE_BUSY:
		return ERR_busy;
	case NLE_OPNOTSUPP:
		return ERR_unsupported;
	default:
		return ERR_internal;
	}
}

static enum err failed(struct why *why, int nle, const char *what)
{
	return fail(why, code_of(nle), "cannot %s: %s", what, nl_geterror(nle));
}

/* Of two locks the second: a connected socket takes nothing that another process sends. */
static int from_kernel(struct nl_msg *m, void *ctx UNUSED)
{
	return nlmsg_get_src(m)->nl_pid == 0 ? NL_OK : NL_SKIP;
}

bool nic_only_kernel(int fd)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	return connect(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) == 0;
}

static int connect_to_kernel(struct nics *n)
{
	int r = nl_connect(n->sock, NETLINK_ROUTE);

	return r >= 0 && !nic_only_kernel(nl_socket_get_fd(n->sock)) ? -NLE_FAILURE : r;
}

enum err nics_open(struct nics **ret, struct why *why)
{
	struct nics *n = calloc(1, sizeof(*n));
	int r = -NLE_NOMEM;

	if (n)
		n->sock = nl_socket_alloc();
	if (n && n->sock)
		r = connect_to_kernel(n);
	if (r < 0) {
		nics_close(n);
		return failed(why, r, "open a netlink socket");
	}
	nl_socket_disable_auto_ack(n->sock); /* said per message */
	nl_socket_disable_msg_peek(n->sock); /* the kernel's parts are never larger than this: */
	nl_socket_set_msg_buf_size(n->sock, 32768);
	nl_socket_modify_cb(n->sock, NL_CB_MSG_IN, NL_CB_CUSTOM, from_kernel, NULL);
	*ret = n;
	return OK;
}

void nics_close(struct nics *n)
{
	if (n && n->sock)
		nl_socket_free(n->sock);
	free(n);
}

/* ---- messages ---- */

static struct nl_msg *new_msg(int type, int flags, const void *head, size_t n)
{
	struct nl_msg *m = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);
	void *to = m ? nlmsg_reserve(m, n, NLMSG_ALIGNTO) : NULL;

	if (to) {
		memcpy(to, head, n);
		return m;
	}
	nlmsg_free(m);
	return NULL;
}

static struct nl_msg *link_msg(int type, int flags, const struct ifinfomsg *head)
{
	return new_msg(type, flags, head, sizeof(*head));
}

/* An answer that was lost or not ours would make each later one the answer to another question. */
static int in_step(struct nics *n, int r)
{
	if (r == -NLE_SEQ_MISMATCH || r == -NLE_MSG_TRUNC || r == -NLE_NOMEM || r == -NLE_AGAIN) {
		nl_close(n->sock);
		if (connect_to_kernel(n) < 0)
			return -NLE_NOMEM;
	}
	return r;
}

/* Sends it, bad or NULL ones too (then it was the heap); frees it; negative NLE_ code, or 0. */
static int put(struct nics *n, struct nl_msg *m, int bad)
{
	int r = m && !bad ? nl_send_auto(n->sock, m) : -NLE_NOMEM;

	nlmsg_free(m);
	return MIN(r, 0);
}

/* The same, and waits for what the kernel says of it. */
static int talk(struct nics *n, struct nl_msg *m, int bad)
{
	int r;

	if (m)
		nlmsg_hdr(m)->nlmsg_flags |= NLM_F_ACK;
	r = put(n, m, bad);
	return r < 0 ? r : in_step(n, nl_wait_for_ack(n->sock));
}

static enum err say(struct nics *n, struct nl_msg *m, int bad, const char *what, struct why *why)
{
	int r = talk(n, m, bad);

	return r < 0 ? failed(why, r, what) : OK;
}

/* ---- reading ---- */

static void copy_text(char out[NIC_NAME], const struct nlattr *a)
{
	if (a)
		nla_strlcpy(out, a, NIC_NAME);
}

static int read_link(struct nl_msg *m, void *ctx)
{
	struct nlattr *a[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
	const struct nlmsghdr *h = nlmsg_hdr(m);
	struct nic *out = ctx;
	const struct ifinfomsg *i;

	if (h->nlmsg_type != RTM_NEWLINK ||
		nlmsg_parse(nlmsg_hdr(m), sizeof(*i), a, IFLA_MAX, NULL))
		return NL_SKIP;
	i = nlmsg_data(h);
	*out = (struct nic){ .index = i->ifi_index, .up = i->ifi_flags & IFF_UP };
	copy_text(out->name, a[IFLA_IFNAME]);
	if (a[IFLA_MASTER] && nla_len(a[IFLA_MASTER]) >= 4)
		out->master = (int)nla_get_u32(a[IFLA_MASTER]);
	if (a[IFLA_ADDRESS] && nla_len(a[IFLA_ADDRESS]) == MAC_BYTES)
		memcpy(out->mac, nla_data(a[IFLA_ADDRESS]), MAC_BYTES);
	if (a[IFLA_LINKINFO] && !nla_parse_nested(info, IFLA_INFO_MAX, a[IFLA_LINKINFO], NULL))
		copy_text(out->kind, info[IFLA_INFO_KIND]);
	return NL_OK;
}

enum err nic_find(struct nics *n, const char *name, int index, struct nic *ret, struct why *why)
{
	struct ifinfomsg head = { .ifi_index = name ? 0 : index };
	struct nl_msg *m = link_msg(RTM_GETLINK, 0, &head);
	struct nic found = { .index = 0 };
	int r;

	nl_socket_modify_cb(n->sock, NL_CB_VALID, NL_CB_CUSTOM, read_link, &found);
	r = put(n, m, m && name && nla_put_string(m, IFLA_IFNAME, name));
	if (r >= 0) /* one datagram: the link, or the error */
		r = in_step(n, nl_recvmsgs_default(n->sock));
	nl_socket_modify_cb(n->sock, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
	if (r < 0 && code_of(r) != ERR_not_found)
		return failed(why, r, "look up a link");
	if (r < 0 || found.index <= 0)
		return name ? fail(why, ERR_not_found, "there is no link %s", name) :
			      fail(why, ERR_not_found, "there is no link of number %d", index);
	*ret = found;
	return OK;
}

/* ---- links ---- */

enum err nic_make_bridge(
	struct nics *n, const char *name, const uint8_t mac[MAC_BYTES], struct why *why)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct nl_msg *m = link_msg(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head);
	struct nlattr *info = NULL, *data = NULL;
	int bad = 0;

	if (m) {
		bad |= nla_put_string(m, IFLA_IFNAME, name);
		bad |= nla_put(m, IFLA_ADDRESS, MAC_BYTES, mac);
		bad |= !(info = nla_nest_start(m, IFLA_LINKINFO));
		bad |= nla_put_string(m, IFLA_INFO_KIND, "bridge");
		bad |= !(data = nla_nest_start(m, IFLA_INFO_DATA));
		bad |= nla_put_u8(m, IFLA_BR_MCAST_SNOOPING, 0); /* its timers would wake it */
	}
	if (m && !bad) {
		nla_nest_end(m, data);
		nla_nest_end(m, info);
	}
	return say(n, m, bad, "make a bridge", why);
}

/* No fe80:: address: guests speak IPv4 only, and a host's services shall not be found there. */
static int put_no_ipv6(struct nl_msg *m)
{
	struct nlattr *families = nla_nest_start(m, IFLA_AF_SPEC), *inet6;
	int bad = !families || !(inet6 = nla_nest_start(m, AF_INET6)) ||
		  nla_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);

	if (!bad) {
		nla_nest_end(m, inet6);
		nla_nest_end(m, families);
	}
	return bad;
}

enum err nic_up(struct nics *n, int index, struct why *why)
{
	struct ifinfomsg head = { .ifi_index = index };
	struct nl_msg *m = link_msg(RTM_SETLINK, 0, &head);
	int r = talk(n, m, m && put_no_ipv6(m));

	if (r < 0 && code_of(r) == ERR_not_found)
		return failed(why, r, "set up a link");
	/* a host without IPv6 refuses the first message, and needs it not */
	head.ifi_flags = head.ifi_change = IFF_UP;
	return say(n, link_msg(RTM_SETLINK, 0, &head), 0, "set a link up", why);
}

enum err nic_join(struct nics *n, int index, int bridge, struct why *why)
{
	struct ifinfomsg head = { .ifi_index = index };
	struct nl_msg *m = link_msg(RTM_SETLINK, 0, &head);
	enum err e = say(n, m, m && nla_put_u32(m, IFLA_MASTER, (uint32_t)bridge),
		"join a link to the bridge", why);
	struct nlattr *port = NULL;
	int bad = 0;

	if (e)
		return e;
	head.ifi_family = AF_BRIDGE;
	m = link_msg(RTM_SETLINK, 0, &head);
	if (m) {
		bad |= !(port = nla_nest_start(m, IFLA_PROTINFO | NLA_F_NESTED));
		bad |= nla_put_u8(m, IFLA_BRPORT_ISOLATED, 1);
	}
	if (m && !bad)
		nla_nest_end(m, port);
	return say(n, m, bad, "isolate a port of the bridge", why);
}

enum err nic_pin(struct nics *n, int index, const uint8_t mac[MAC_BYTES], bool on, struct why *why)
{
	struct ndmsg head = { .ndm_family = AF_BRIDGE,
		.ndm_ifindex = index,
		.ndm_state = NUD_NOARP,
		.ndm_flags = NTF_MASTER | (on ? NTF_STICKY : 0) };
	struct nl_msg *m = new_msg(on ? RTM_NEWNEIGH : RTM_DELNEIGH,
		on ? NLM_F_CREATE | NLM_F_REPLACE : 0, &head, sizeof(head));
	int r = talk(n, m, m && nla_put(m, NDA_LLADDR, MAC_BYTES, mac));

	if (r < 0 && (on || code_of(r) != ERR_not_found))
		return failed(why, r, "pin a hardware address to its port");
	return OK;
}

enum err nic_delete(struct nics *n, int index, struct why *why)
{
	struct ifinfomsg head = { .ifi_index = index };
	int r = talk(n, link_msg(RTM_DELLINK, 0, &head), 0);

	return r < 0 && code_of(r) != ERR_not_found ? failed(why, r, "delete a link") : OK;
}

/* A group that nobody else uses: of 2^31 numbers one by chance. */
static int delete_group(struct nics *n, uint32_t group)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	struct nl_msg *m = link_msg(RTM_DELLINK, 0, &head);

	return talk(n, m, m && nla_put_u32(m, IFLA_GROUP, group));
}

enum err nic_delete_all(struct nics *n, const int *indexes, unsigned count, struct why *why)
{
	uint32_t group = 0;
	unsigned there = 0;
	int r;

	if (count == 1)
		return nic_delete(n, indexes[0], why);
	if (getrandom(&group, sizeof(group), 0) != sizeof(group))
		return fail_errno(why, "cannot choose a group of links");
	group = (group & 0x7fffffff) | 0x40000000;
	for (unsigned i = 0; i < count; i++) {
		struct ifinfomsg head = { .ifi_index = indexes[i] };
		struct nl_msg *m = link_msg(RTM_SETLINK, 0, &head);

		r = talk(n, m, m && nla_put_u32(m, IFLA_GROUP, group));
		if (r < 0 && code_of(r) != ERR_not_found)
			return failed(why, r, "put a link into a group");
		there += r >= 0;
	}
	r = there ? delete_group(n, group) : 0;
	return r < 0 && code_of(r) != ERR_not_found ? failed(why, r, "delete links") : OK;
}

/* ---- addresses and routes ---- */

enum err nic_address(
	struct nics *n, int index, uint32_t addr, unsigned bits, bool on, struct why *why)
{
	struct ifaddrmsg head = {
		.ifa_family = AF_INET, .ifa_prefixlen = (uint8_t)bits, .ifa_index = (unsigned)index
	};
	struct nl_msg *m = new_msg(on ? RTM_NEWADDR : RTM_DELADDR,
		on ? NLM_F_CREATE | NLM_F_REPLACE : 0, &head, sizeof(head));
	uint32_t host = htonl(addr), all = htonl(addr | (uint32_t)((1ull << (32 - bits)) - 1));
	int bad = 0, r;

	if (m) {
		bad |= nla_put_u32(m, IFA_LOCAL, host);
		bad |= nla_put_u32(m, IFA_ADDRESS, host);
		bad |= on && nla_put_u32(m, IFA_BROADCAST, all);
	}
	r = talk(n, m, bad);
	if (r < 0 && !(on ? code_of(r) == ERR_exists : code_of(r) == ERR_not_found))
		return failed(why, r, on ? "give the bridge its address" : "take an address away");
	return OK;
}

struct reading {
	void (*fn)(void *ctx, const struct nic_reach *r);
	void *ctx;
};

static int read_address(struct nl_msg *m, void *ctx)
{
	const struct reading *r = ctx;
	const struct nlmsghdr *h = nlmsg_hdr(m);
	struct nlattr *a[IFA_MAX + 1];
	const struct ifaddrmsg *i;
	struct nic_reach out = { .is_route = false };

	if (h->nlmsg_type != RTM_NEWADDR || nlmsg_parse(nlmsg_hdr(m), sizeof(*i), a, IFA_MAX, NULL))
		return NL_SKIP;
	i = nlmsg_data(h);
	if (i->ifa_family != AF_INET || !a[IFA_ADDRESS] || nla_len(a[IFA_ADDRESS]) != 4)
		return NL_SKIP;
	out.index = (int)i->ifa_index;
	out.net = ntohl(nla_get_u32(a[IFA_ADDRESS]));
	out.bits = i->ifa_prefixlen;
	r->fn(r->ctx, &out);
	return NL_OK;
}

static int read_route(struct nl_msg *m, void *ctx)
{
	const struct reading *r = ctx;
	const struct nlmsghdr *h = nlmsg_hdr(m);
	struct nlattr *a[RTA_MAX + 1];
	const struct rtmsg *i;
	struct nic_reach out = { .is_route = true };

	if (h->nlmsg_type != RTM_NEWROUTE ||
		nlmsg_parse(nlmsg_hdr(m), sizeof(*i), a, RTA_MAX, NULL))
		return NL_SKIP;
	i = nlmsg_data(h);
	if (i->rtm_family != AF_INET || i->rtm_table != RT_TABLE_MAIN || i->rtm_type != RTN_UNICAST)
		return NL_SKIP;
	out.bits = i->rtm_dst_len;
	if (a[RTA_DST] && nla_len(a[RTA_DST]) == 4)
		out.net = ntohl(nla_get_u32(a[RTA_DST]));
	if (a[RTA_OIF] && nla_len(a[RTA_OIF]) == 4)
		out.index = (int)nla_get_u32(a[RTA_OIF]);
	r->fn(r->ctx, &out);
	return NL_OK;
}

static int dump(
	struct nics *n, struct nl_msg *m, int (*read)(struct nl_msg *, void *), struct reading *to)
{
	int r;

	nl_socket_modify_cb(n->sock, NL_CB_VALID, NL_CB_CUSTOM, read, to);
	r = put(n, m, 0);
	if (r >= 0)
		r = in_step(n, nl_recvmsgs_default(n->sock));
	nl_socket_modify_cb(n->sock, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
	return r;
}

enum err nic_reaches(struct nics *n, void (*fn)(void *ctx, const struct nic_reach *r), void *ctx,
	struct why *why)
{
	struct ifaddrmsg addresses = { .ifa_family = AF_INET };
	struct rtmsg routes = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN };
	struct reading to = { fn, ctx };
	int r = dump(n, new_msg(RTM_GETADDR, NLM_F_DUMP, &addresses, sizeof(addresses)),
		read_address, &to);

	if (r >= 0)
		r = dump(n, new_msg(RTM_GETROUTE, NLM_F_DUMP, &routes, sizeof(routes)), read_route,
			&to);
	return r < 0 ? failed(why, r, "read addresses and routes") : OK;
}

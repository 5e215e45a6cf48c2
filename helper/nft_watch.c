/*
 * nft_watch.c - sees when somebody else changes banger's nft tables: `nft flush ruleset`, a
 * firewall that is started again. What they held is made anew from the ledger, after a rest, so
 * that a script of many commands is mended once.
 *
 * The kernel tells of each change and ends a batch with the name of the program that made it; a
 * batch of the helper's own name is none of anybody else.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "helper/net.h"

enum { WATCH_BYTES = 65536, READS_MAX = 16, SETTLE_MS = 300 };

struct nft_watch {
	struct helper *h;
	int fd;
	struct watch ready;
	struct timer settle;
	bool touched; /* by the batch that is being told */
	uint8_t in[WATCH_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
};

/* An attribute of that type, of text; "" when there is none. */
static void text_of(const struct nlmsghdr *m, uint16_t type, char *out, size_t size)
{
	const uint8_t *at = (const uint8_t *)m + NLMSG_SPACE(sizeof(struct nfgenmsg));
	const uint8_t *end = (const uint8_t *)m + m->nlmsg_len;

	out[0] = '\0';
	while (end - at >= (ptrdiff_t)sizeof(struct nlattr)) {
		struct nlattr a;

		memcpy(&a, at, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > end - at)
			return;
		if ((a.nla_type & NLA_TYPE_MASK) == type) {
			snprintf(out, size, "%.*s", (int)(a.nla_len - sizeof(a)),
				(const char *)at + sizeof(a));
			return;
		}
		at += MIN((ptrdiff_t)NLA_ALIGN(a.nla_len), end - at);
	}
}

static bool takes_away(unsigned type)
{
	return type == NFT_MSG_DELTABLE || type == NFT_MSG_DELCHAIN || type == NFT_MSG_DELRULE ||
	       type == NFT_MSG_DELSET || type == NFT_MSG_DELSETELEM || type == NFT_MSG_NEWRULE;
}

static void mend(void *ctx)
{
	struct nft_watch *w = ctx;
	struct why why;

	if (ledger_find(w->h->ledger, priv_thing_nat, "tables") == NULL)
		return; /* we have none */
	log_line(LOG_WARN, "helper", "somebody changed banger's rules, making them anew", NULL);
	if (net_rules(w->h, &why))
		log_line(LOG_WARN, "helper", "rules not made", "why", why.text, NULL);
}

static void rest(struct nft_watch *w)
{
	timer_start(w->h->loop, &w->settle, SETTLE_MS, mend, w);
}

/* Every message of ours begins with the name of its table, whatever it is about. */
static void take(struct nft_watch *w, const struct nlmsghdr *m)
{
	unsigned type = NFNL_MSG_TYPE(m->nlmsg_type);
	char name[64];

	if (NFNL_SUBSYS_ID(m->nlmsg_type) != NFNL_SUBSYS_NFTABLES ||
		m->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)))
		return;
	if (takes_away(type)) {
		text_of(m, NFTA_TABLE_NAME, name, sizeof(name));
		w->touched |= str_eq(name, "banger");
	} else if (type == NFT_MSG_NEWGEN) {
		text_of(m, NFTA_GEN_PROC_NAME, name, sizeof(name));
		if (w->touched && !str_eq(name, "banger-helper"))
			rest(w);
		w->touched = false;
	}
}

static void on_ready(void *ctx, int events UNUSED)
{
	struct nft_watch *w = ctx;

	for (int i = 0; i < READS_MAX; i++) {
		ssize_t n = recv(w->fd, w->in, sizeof(w->in), MSG_DONTWAIT);
		struct nlmsghdr *m = (struct nlmsghdr *)(void *)w->in;

		if (n < 0 &&
			errno == ENOBUFS) { /* news were lost; any of them may have been ours */
			rest(w);
			continue;
		}
		if (n <= 0)
			return;
		for (unsigned left = (unsigned)n; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left))
			take(w, m);
	}
}

enum err nft_watch_open(struct helper *h, struct nft_watch **ret, struct why *why)
{
	struct sockaddr_nl at = { .nl_family = AF_NETLINK };
	int group = NFNLGRP_NFTABLES;
	struct nft_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return fail(why, ERR_no_memory, "no memory to watch the rules");
	w->h = h;
	w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (w->fd < 0 || bind(w->fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
		setsockopt(w->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ||
		!nic_only_kernel(w->fd)) {
		enum err e = fail_errno(why, "cannot watch the rules");

		fd_done(&w->fd);
		free(w);
		return e;
	}
	watch_start(h->loop, &w->ready, w->fd, WATCH_READ, on_ready, w);
	*ret = w;
	return OK;
}

void nft_watch_close(struct nft_watch *w)
{
	if (!w)
		return;
	watch_stop(&w->ready);
	timer_stop(&w->settle);
	fd_done(&w->fd);
	free(w);
}

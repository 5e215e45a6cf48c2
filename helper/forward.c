/*
 * forward.c - whether the host forwards IPv4 packets: set while there is a bridge, and what it was
 * before comes back when banger is taken away.
 */
#include <fcntl.h>
#include <unistd.h>

#include "helper/net.h"
#include "sys/beneath.h"

static const char ip_forward[] = "ip_forward";

static int open_switch(int flags)
{
	return openat(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", flags | O_CLOEXEC | O_NOFOLLOW);
}

static enum err read_switch(char *ret, struct why *why)
{
	own_fd fd = open_switch(O_RDONLY);

	if (fd < 0 || read(fd, ret, 1) != 1)
		return fail_errno(why, "cannot read ip_forward");
	return OK;
}

static enum err write_switch(char to, struct why *why)
{
	own_fd fd = open_switch(O_WRONLY);

	if (fd < 0 || !write_all(fd, &to, 1))
		return fail_errno(why, "cannot set ip_forward");
	return OK;
}

enum err forward_on(struct helper *h, struct why *why)
{
	char now[2] = "";
	enum err e = read_switch(now, why);
	struct priv_entry r = {
		.kind = priv_thing_forward, .name = ip_forward, .made = ledger_now(), .detail = now
	};

	if (!e && !ledger_find(h->ledger, priv_thing_forward, ip_forward))
		e = ledger_note(h->ledger, &r, why);
	if (!e && now[0] != '1')
		e = write_switch('1', why);
	return e;
}

enum err forward_restore(struct helper *h, struct why *why)
{
	const struct priv_entry *r = ledger_find(h->ledger, priv_thing_forward, ip_forward);
	enum err e = OK;

	if (!r)
		return OK;
	if (r->detail && str_eq(r->detail, "0"))
		e = write_switch('0', why);
	return e ? e : ledger_forget(h->ledger, priv_thing_forward, ip_forward, why);
}

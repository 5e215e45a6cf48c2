/*
 * agent/conf.h - what the host tells the guest on the kernel's command line (banger.*).
 */
#ifndef AGENT_CONF_H
#define AGENT_CONF_H

#include "base/base.h"

enum { CONF_DNS_MAX = 4 };

struct conf {
	char name[64]; /* host name, "" when none is given */
	bool has_address, has_gateway;
	uint32_t address, gateway; /* host byte order */
	unsigned prefix;
	uint32_t dns[CONF_DNS_MAX];
	unsigned dns_n;
	char home[4096]; /* where the work disk is mounted, "" when there is none */
	uint32_t uid, gid; /* owner of that directory when it has to be made */
	/* names of the disks vda, vdb, ... where their serials are not ours, else "" */
	char disks[64];
	bool vsock; /* letters come over vsock, else over the virtio-serial port */
	bool reset_ends; /* reboot=k: this VMM ends by a reset and knows no power-off */
};

/* Reads a command line. Pure; what does not fit is left out and named in `bad`, else "". */
void conf_read(struct conf *c, const char *cmdline, char *bad, size_t bad_size);

/* The same from /proc/cmdline. */
void conf_load(struct conf *c, char *bad, size_t bad_size);

#endif

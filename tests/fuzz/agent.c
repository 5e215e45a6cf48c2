/*
 * fuzz/agent.c - what the agent reads of its guest: command line, users, socket tables. The first
 * byte picks the reader; text ends at the first NUL, parts of it at 0x01.
 */
#include "tests/fuzz/fuzz.h"

#include "agent/account.h"
#include "agent/conf.h"
#include "agent/procfs.h"
#include "agent/sockets.h"

static void command_line(const char *s)
{
	struct conf c;
	char bad[32];

	conf_read(&c, s, bad, sizeof(bad));
	must(strnlen(bad, sizeof(bad)) < sizeof(bad));
	must(!c.has_address || (c.prefix >= 1 && c.prefix <= 32));
	must(c.dns_n <= CONF_DNS_MAX);
	must(strnlen(c.name, sizeof(c.name)) < sizeof(c.name) && !strpbrk(c.name, "/ \n"));
	must(!c.home[0] || (c.home[0] == '/' && !strstr(c.home, "/../")));
}

static void accounts(char *s)
{
	struct account who;
	struct why why = { .code = OK };
	struct arena a;
	char *user = strsep(&s, "\001"), *passwd = s ? strsep(&s, "\001") : NULL;

	arena_init(&a, 0);
	if (account_read(passwd ? passwd : "", s ? s : "", user[0] ? user : NULL, &a, &who, &why))
		must(why.text[0]);
	else
		must(who.name && who.home && who.shell && who.groups_n <= ACCOUNT_GROUPS_MAX &&
			who.uid != UINT32_MAX && who.gid != UINT32_MAX);
	arena_done(&a);
}

static void sockets(const char *s)
{
	struct open_port port;
	struct arena a;

	arena_init(&a, 0);
	for (int i = 0; i < 4; i++)
		if (sockets_line(s, i & 1, i & 2, &a, &port))
			must(port.port.port > 0 && port.port.port < 65536 && port.port.address);
	arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *s;

	if (n < 1)
		return 0;
	s = strndup((const char *)p + 1, n - 1);
	must(s);
	(void)proc_value(s, "MemTotal:");
	if (p[0] % 3 == 0)
		command_line(s);
	else if (p[0] % 3 == 1)
		accounts(s);
	else
		sockets(s);
	free(s);
	return 0;
}

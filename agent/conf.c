/*
 * conf.c - the banger.* words of the kernel's command line. A word that does not fit is passed over
 * and named, so that a guest still boots and says what was wrong.
 */
#include "agent/conf.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"
#include "proto/check.h"
#include "proto/proto.h"

enum { CMDLINE_BYTES = 8192 };

static bool read_address(struct conf *c, const char *v)
{
	const char *slash = strchr(v, '/');
	uint64_t bits;

	if (!slash || !parse_ipv4(v, (size_t)(slash - v), &c->address) ||
		parse_u64(slash + 1, &bits, NULL) || bits < 1 || bits > 32)
		return false;
	c->prefix = (unsigned)bits;
	c->has_address = true;
	return true;
}

static bool read_gateway(struct conf *c, const char *v)
{
	c->has_gateway = parse_ipv4(v, strlen(v), &c->gateway);
	return c->has_gateway;
}

static bool read_dns(struct conf *c, const char *v)
{
	c->dns_n = 0;
	while (c->dns_n < CONF_DNS_MAX) {
		size_t n = strcspn(v, ",");

		if (!parse_ipv4(v, n, &c->dns[c->dns_n]))
			return false;
		c->dns_n++;
		if (!v[n])
			return true;
		v += n + 1;
	}
	return false;
}

static bool read_name(struct conf *c, const char *v)
{
	return is_label(v, strlen(v)) && str_copy(c->name, sizeof(c->name), v);
}

static bool read_home(struct conf *c, const char *v)
{
	return type_ok(&type_abs_path, "banger.home", v, NULL) == OK &&
	       str_copy(c->home, sizeof(c->home), v);
}

static bool read_id(const char *v, uint32_t *ret)
{
	uint64_t id;

	if (parse_u64(v, &id, NULL) || id >= UINT32_MAX)
		return false;
	*ret = (uint32_t)id;
	return true;
}

static bool read_uid(struct conf *c, const char *v)
{
	return read_id(v, &c->uid);
}

static bool read_gid(struct conf *c, const char *v)
{
	return read_id(v, &c->gid);
}

static bool read_disks(struct conf *c, const char *v)
{
	return str_copy(c->disks, sizeof(c->disks), v);
}

static bool read_link(struct conf *c, const char *v)
{
	int kind = type_enum(&type_link_kind, v);

	c->vsock = kind == link_kind_vsock;
	return kind >= 0;
}

static bool read_reboot(struct conf *c, const char *v)
{
	c->reset_ends = str_eq(v, "k");
	return true; /* the kernel's own word: other values are not ours to judge */
}

static const struct {
	const char *key;
	bool (*read)(struct conf *c, const char *value);
} words[] = {
	{ "banger.name", read_name },
	{ "banger.ip", read_address },
	{ "banger.gw", read_gateway },
	{ "banger.dns", read_dns },
	{ "banger.home", read_home },
	{ "banger.uid", read_uid },
	{ "banger.gid", read_gid },
	{ "banger.disks", read_disks },
	{ "banger.link", read_link },
	{ "reboot", read_reboot },
};

static bool read_word(struct conf *c, char *word)
{
	char *eq = strchr(word, '=');

	if (!eq)
		return true;
	*eq = '\0';
	for (size_t i = 0; i < COUNT(words); i++)
		if (str_eq(words[i].key, word))
			return words[i].read(c, eq + 1);
	return true;
}

void conf_read(struct conf *c, const char *cmdline, char *bad, size_t bad_size)
{
	char line[CMDLINE_BYTES], *at = line, *word;

	memset(c, 0, sizeof(*c));
	bad[0] = '\0';
	(void)str_copy(line, sizeof(line), cmdline);
	while ((word = strsep(&at, " \t\n")) != NULL)
		if (word[0] && !read_word(c, word))
			(void)str_copy(bad, bad_size, word);
}

void conf_load(struct conf *c, char *bad, size_t bad_size)
{
	char line[CMDLINE_BYTES];
	own_fd fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);

	line[n > 0 ? n : 0] = '\0';
	conf_read(c, line, bad, bad_size);
}

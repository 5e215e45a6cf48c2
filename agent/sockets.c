/*
 * sockets.c - reads /proc/net and finds each socket's process by the inodes behind its descriptors.
 */
#include "agent/sockets.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "agent/procfs.h"
#include "base/text.h"

enum { TCP_LISTENING = 0x0a, UDP_UNCONNECTED = 0x07 };

/* The kernel prints each 32-bit word of an address as a number in host order. */
static bool read_address(const char *hex, bool six, uint8_t out[16])
{
	unsigned words = six ? 4 : 1;

	for (unsigned i = 0; i < words; i++) {
		char digits[9];
		uint32_t w;

		if (strnlen(hex, 8 * (i + 1)) < 8 * (i + 1))
			return false;
		memcpy(digits, hex + 8 * (size_t)i, 8);
		digits[8] = '\0';
		w = (uint32_t)strtoul(digits, NULL, 16);
		memcpy(out + 4 * (size_t)i, &w, 4);
	}
	return true;
}

static const char *show_address(const uint8_t bytes[16], bool six, struct arena *a)
{
	static const uint8_t any[16];
	char text[INET6_ADDRSTRLEN];

	if (memcmp(bytes, any, six ? 16 : 4) == 0)
		return "*";
	if (!inet_ntop(six ? AF_INET6 : AF_INET, bytes, text, sizeof(text)))
		return NULL;
	return arena_str(a, text);
}

/* "ADDRESS:PORT" in hex; moves *at behind it. */
static bool take_end(const char **at, char address[33], unsigned *port)
{
	size_t n;
	char *end;

	*at += strspn(*at, " ");
	n = strspn(*at, "0123456789ABCDEF");
	if (n > 32 || (*at)[n] != ':')
		return false;
	memcpy(address, *at, n);
	address[n] = '\0';
	*port = (unsigned)strtoul(*at + n + 1, &end, 16);
	*at = end;
	return true;
}

static const char *skip_words(const char *at, int n)
{
	while (n-- > 0) {
		at += strspn(at, " ");
		at += strcspn(at, " ");
	}
	return at;
}

bool sockets_line(const char *line, bool udp, bool six, struct arena *a, struct open_port *ret)
{
	char local[33], remote[33], *end;
	unsigned long state, inode;
	unsigned port, remote_port;
	uint8_t address[16];

	/* sl local:port remote:port state tx:rx tr:when retransmits uid timeout inode */
	line = skip_words(line, 1);
	if (!take_end(&line, local, &port) || !take_end(&line, remote, &remote_port))
		return false;
	state = strtoul(line, &end, 16);
	inode = strtoul(skip_words(end, 5), NULL, 10);
	if (state != (udp ? (unsigned)UDP_UNCONNECTED : (unsigned)TCP_LISTENING) ||
		remote_port != 0 || port == 0 || port > 65535 || !read_address(local, six, address))
		return false;
	*ret = (struct open_port){ .inode = inode, .six = six };
	ret->port.proto = udp ? "udp" : "tcp";
	ret->port.port = port;
	ret->port.address = show_address(address, six, a);
	return ret->port.address != NULL;
}

static void read_table(
	const char *path, bool udp, bool six, struct open_port *list, uint32_t *n, struct arena *a)
{
	own_file f = fopen(path, "re");
	char line[512];

	while (f && *n < SOCKETS_MAX && fgets(line, sizeof(line), f))
		if (sockets_line(line, udp, six, a, &list[*n]))
			(*n)++;
}

static void set_process(struct open_port *l, uint64_t pid, struct arena *a)
{
	char path[64], comm[64], clean[128];
	size_t n;

	snprintf(path, sizeof(path), "/proc/%llu/comm", (unsigned long long)pid);
	n = proc_read(path, comm, sizeof(comm));
	if (n > 0 && comm[n - 1] == '\n')
		comm[n - 1] = '\0';
	l->port.has_pid = true;
	l->port.pid = pid;
	if (utf8_valid(comm, strlen(comm))) {
		l->port.process = arena_str(a, comm);
		return;
	}
	snprintf(clean, sizeof(clean), "(pid %llu)", (unsigned long long)pid);
	l->port.process = arena_str(a, clean);
}

/* The listeners of one process, by what its descriptors are. */
static void look_at(int proc, const char *pid, struct open_port *list, uint32_t n, struct arena *a)
{
	char path[300], text[64];
	own_dir dir = NULL;
	struct dirent *e;
	int fd;

	snprintf(path, sizeof(path), "%s/fd", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (fd >= 0 && !dir)
		close(fd);
	while (dir && (e = readdir(dir)) != NULL) {
		ssize_t len = readlinkat(dirfd(dir), e->d_name, text, sizeof(text) - 1);
		uint64_t inode;

		if (len <= 8 || memcmp(text, "socket:[", 8) != 0)
			continue;
		text[len] = '\0';
		inode = strtoull(text + 8, NULL, 10);
		for (uint32_t i = 0; i < n; i++)
			if (list[i].inode == inode && !list[i].port.has_pid)
				set_process(&list[i], strtoull(pid, NULL, 10), a);
	}
}

uint32_t sockets_list(struct open_port *list, struct arena *a)
{
	own_dir proc = NULL;
	struct dirent *e;
	uint32_t n = 0;

	read_table("/proc/net/tcp", false, false, list, &n, a);
	read_table("/proc/net/tcp6", false, true, list, &n, a);
	read_table("/proc/net/udp", true, false, list, &n, a);
	read_table("/proc/net/udp6", true, true, list, &n, a);
	proc = n > 0 ? opendir("/proc") : NULL;
	while (proc && (e = readdir(proc)) != NULL)
		if (isdigit((unsigned char)e->d_name[0]))
			look_at(dirfd(proc), e->d_name, list, n, a);
	return n;
}

bool sockets_serve(uint16_t port)
{
	static const char *const tables[] = { "/proc/net/tcp", "/proc/net/tcp6" };
	struct open_port one;
	struct arena a;
	bool yes = false;
	char line[512];

	arena_init(&a, MiB);
	for (unsigned six = 0; six < COUNT(tables); six++) {
		own_file f = fopen(tables[six], "re");

		while (f && !yes && fgets(line, sizeof(line), f))
			yes = sockets_line(line, false, six, &a, &one) && one.port.port == port;
	}
	arena_done(&a);
	return yes;
}

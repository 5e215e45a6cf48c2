/*
 * samples.c - the text that each checked type must take and must refuse.
 */
#include "tests/lib/samples.h"

#define LABEL_63 "a23456789b123456789c123456789d123456789e123456789f123456789g123"
#define HEX_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define ED25519_BASE64 "AAAAC3NzaC1lZDI1NTE5AAAAIG7HvqvdSnEFjnNXV/fDDllER2Kvy4kcQR61iWEz5j0e"
#define ED25519 "ssh-ed25519 " ED25519_BASE64

static const struct samples all[] = {
	{ "env", { "A=", "A=b", "PATH=/bin:/usr/bin", "A==", "B=ä\n" }, { "", "A", "=b", "==" } },
	{ "abs_path", { "/", "/a", "/a/b.c", "/...", "/.a", "/a b", "/a/..b" },
		{ "", "a", "//", "/a/", "/a//b", "/.", "/..", "/a/.", "/a/../b", "/a/..", "./a" } },
	{ "rel_path", { "a", "a/b", ".a", "...", "a b" },
		{ "", "/", "/a", ".", "..", "a/..", "../a", "a//b", "a/", "./a", "a/./b" } },
	{ "vm_id", { "ab", "q7", "0000000000", "abcdefghij" },
		{ "", "a", "abcdefghijk", "aB", "a-b", "a b", "ä", "a/", ".." } },
	{ "vm_name", { "a", "calm-otter", "7up", LABEL_63 },
		{ "", "-a", "a-", "A", "a.b", "a_b", "7", "0123", "localhost", "xn--ab", "ä",
			LABEL_63 "4", "a/b", ".." } },
	{ "vm_ref", { "ab", "7", "calm-otter", LABEL_63 }, { "", "-", "A", "a b", LABEL_63 "4" } },
	{ "image_name", { "debian", "Debian", "a.b/c:1", "reg:5000/x@sha256", "0" },
		{ "", "/a", ".a", "-a", "a..b", "a//b", "a b", "ä", "a\\b", "a\n" } },
	{ "reference", { "debian", "debian:12", "a/b_c__d.e---f", "localhost/a", "h:5000/a/b:T_.-",
			       "quay.io/x@sha256:" HEX_64, "x:1@sha256:" HEX_64, "[::1]:5000/a" },
		{ "", "Debian", "a//b", "a/", "/a", "a:", "a:.b", "a@", "a@sha256:" HEX_64 "0",
			"a..b", "a_-b", "../a", "h:x/a", "h:0/a", "-h.x/a", HEX_64 } },
	{ "kernel_name", { "6.1.0-18-cloud-amd64", "A", "a~b+c_d" },
		{ "", "-", ".a", "a/b", "a b", "ä" } },
	{ "digest", { "sha256:" HEX_64 },
		{ "", "sha256:", "sha512:" HEX_64, HEX_64, "sha256:" HEX_64 "0",
			"SHA256:" HEX_64, "sha256:../" HEX_64, "sha256:A" } },
	{ "sha256", { HEX_64 }, { "", "sha256:" HEX_64, HEX_64 "0", "A", "../" HEX_64 } },
	{ "bundle_url", { "https://a/b", "https://a.b:8443/c/d.tar.zst?e=f%20g" },
		{ "", "http://a/b", "file:///a", "https://", "https://a", "https://a/",
			"https:///b", "https://u:p@a/b", "https://a/b c", "https://ä/b",
			"https://a/\n" } },
	{ "user", { "root", "0", "1000:1000", "a.b-c_d:staff" },
		{ "", ":", "a:", ":a", "-a", "a b", "a:b:c", "a/b", "ä" } },
	{ "term", { "xterm-256color", "vt100", "a.b_c+d" }, { "", "a b", "a/b", "ä", "a\n" } },
	{ "signal", { "TERM", "KILL", "HUP", "WINCH", "RT+0", "RT+32" },
		{ "", "SIGTERM", "term", "9", "RT+33", "RT+", "RT+-1", "RT", "TERM " } },
	{ "cidr", { "10.0.2.15/24", "0.0.0.0/0", "1.2.3.4/8", "255.255.255.255/32" },
		{ "", "10.0.2.15", "10.0.2.15/", "10.0.2.15/33", "10.0.2.15/024", "10.0.2/24",
			"10.0.2.256/24", "10.0.2.15/-1", "10.0.2.15/2 ", "1.2.3.4/8/8" } },
	{ "ipv4", { "0.0.0.0", "127.0.0.1", "255.255.255.255" },
		{ "", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.04", "256.1.1.1", "1.2.3.4 ",
			" 1.2.3.4", "1..2.3", "a.b.c.d", "1.2.3.-4", "0x1.2.3.4", "1000.1.1.1" } },
	{ "service", { "sshd:22", "opencode:4096", "a:1", "0.b_c-d:65535" },
		{ "", "sshd", ":22", "sshd:", "sshd:0", "sshd:65536", "SSHD:22", "-a:22", "a b:22",
			"a/b:22", "a:22:23", "a:022x", "a: 22" } },
	{ "local", { "127.0.0.1:42069", "127.0.0.1:1", "127.255.255.254:65535" },
		{ "", "127.0.0.1", "127.0.0.1:", ":53", "127.0.0.1:0", "127.0.0.1:65536",
			"0.0.0.0:53", "10.0.0.1:53", "128.0.0.1:53", "127.0.0:53", "localhost:53",
			"127.0.0.1:053", "127.0.0.1:53 ", "127.0.0.1:1:2" } },
	{ "subnet", { "10.87.48.0/20", "10.1.0.0/16", "192.168.7.4/30" },
		{ "", "10.87.48.0", "10.87.48.1/20", "10.0.0.0/15", "10.0.0.0/31", "127.1.0.0/16",
			"169.254.0.0/16", "224.0.0.0/16", "240.1.0.0/16", "0.1.0.0/16",
			"10.87.48.0/20 " } },
	{ "mac", { "02:62:0a:57:30:02", "ff:ff:ff:ff:ff:ff" },
		{ "", "02-62-0a-57-30-02", "02:62:0A:57:30:02", "02:62:0a:57:30:0",
			"02:62:0a:57:30:0g", "02:62:0a:57:30:023" } },
	{ "publish", { "8080:80", "1:1", "65535:65535", "127.0.0.1:8080:80", "0.0.0.0:1:2" },
		{ "", "80", "80:", ":80", "0:80", "80:0", "65536:80", "1.2.3:1:2", "a:80", "1:2:3",
			"1.2.3.4:5", "1.2.3.4:5:6:7", "080:80", " 80:80" } },
	/* what root will act on (check_priv.c) */
	{ "cmdline", { "", "console=ttyS0 quiet", "a=\"b c\"" }, { "\n", "a\tb", "ä", "\x7f" } },
	{ "disk_id", { "root", "a", "work_2" }, { "", "2a", "_a", "A", "a-b", "a/b", "ä" } },
	{ "bridge_name", { "br-bngr", "br-bngr-t1" },
		{ "", "br0", "br-bngr-", "br-bngrx", "br-bngr-A", "br-bngr-a/b", "br-bngr-%d",
			"br-bngr-123456789" } },
	{ "tap_name", { "bngr-q", "bngr-1234567890", "bngr--" },
		{ "", "eth0", "tap0", "bngr-", "bngr-A", "bngr-a.b", "bngr-a/b", "bngr-%d",
			"bngr-a\n", "bngr-12345678901" } },
	{ "resolver", { "10.0.0.1", "127.0.0.1:53", "1.2.3.4:65535" },
		{ "", "1.2.3", "localhost", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:-1",
			"1.2.3.4: 5", "1.2.3.4:5:6" } },
	{ "loop_dev", { "/dev/loop0", "/dev/loop1048575" },
		{ "", "loop0", "/dev/loop", "/dev/loop01", "/dev/loop-1", "/dev/loop0p1",
			"/dev/loop0/..", "/dev/loop12345678" } },
	{ "dm_name", { "fc-rootfs-q7", "fc-rootfs-a-b" },
		{ "", "fc-rootfs-", "rootfs-q7", "fc-rootfs-A", "fc-rootfs-a/b", "fc-rootfs-.." } },
	{ "dm_dev", { "/dev/mapper/fc-rootfs-q7" },
		{ "", "fc-rootfs-q7", "/dev/mapper/fc-rootfs-", "/dev/mapper/control",
			"/dev/mapper/fc-rootfs-a/b", "/dev/mapper/../sda" } },
	{ "dm_target", { "fc-rootfs-q7", "/dev/mapper/fc-rootfs-q7" },
		{ "", "control", "/dev/mapper/control", "fc-rootfs-", "/dev/fc-rootfs-q7" } },
	{ "any_loop_dev", { "", "/dev/loop0" }, { "loop0", "/dev/sda", "/dev/loop" } },
	{ "any_dm_name", { "", "fc-rootfs-q7" }, { "x", "/dev/mapper/fc-rootfs-q7" } },
	{ "any_dm_dev", { "", "/dev/mapper/fc-rootfs-q7" }, { "x", "fc-rootfs-q7" } },
	{ "ssh_key", { ED25519 },
		{ "", "ssh-ed25519", "ssh-ed25519 ", "ssh-ed25519 AAAA", ED25519 " me",
			ED25519 "\n", ED25519 "=", " " ED25519, "ssh-rsa " ED25519_BASE64,
			"ssh-ed25519  " ED25519_BASE64 } },
};

const struct samples *samples_of(const struct type *t)
{
	for (size_t i = 0; i < COUNT(all); i++)
		if (str_eq(all[i].type, t->name))
			return &all[i];
	return NULL;
}

/*
 * jailbird.c - stands in for a VMM in a jail: says what it finds there, one fact a line, to
 * whoever connects to its console (descriptor 12, as QEMU has it) or else to stdout, and then does
 * what a VMM does: it stays.
 *
 * With the word `plant` in a file /img/initrd it plays a hostile one: it puts links and deep trees
 * into what it may write, and keeps its sockets to itself.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base.h"

enum { CONSOLE_FD = 12, DEPTH = 3000 };

static void list(FILE *out, const char *path)
{
	own_dir d = opendir(path);
	const struct dirent *e;

	fprintf(out, "list %s:", path);
	while (d && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			fprintf(out, " %s", e->d_name);
	fprintf(out, "\n");
}

static void access_of(FILE *out, const char *path)
{
	own_fd r = open(path, O_RDONLY | O_CLOEXEC), w = open(path, O_WRONLY | O_CLOEXEC);
	char text[32] = "";
	ssize_t n = r < 0 ? 0 : read(r, text, sizeof(text) - 1);

	text[MAX(n, 0)] = '\0';
	text[strcspn(text, "\n")] = '\0';
	fprintf(out, "file %s: read=%d write=%d says=%s\n", path, r >= 0, w >= 0, text);
}

static void files(FILE *out, const char *dir)
{
	own_dir d = opendir(dir);
	const struct dirent *e;
	char path[300];

	while (d && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		access_of(out, path);
	}
}

static void rights(FILE *out)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct c[2] = { { 0 } };
	unsigned bounding = 0;

	syscall(SYS_capget, &h, c);
	for (int i = 0; i < 41; i++)
		bounding += prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1;
	fprintf(out, "uid: %u %u gid: %u %u groups: %d\n", getuid(), geteuid(), getgid(), getegid(),
		getgroups(0, NULL));
	fprintf(out, "caps: %x %x bounding: %u nnp: %d\n", c[0].effective, c[0].permitted, bounding,
		prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	fprintf(out, "setuid0: %d session: %d environ: %d\n", setuid(0) == 0, getsid(0) == getpid(),
		environ && environ[0]);
}

static void descriptors(FILE *out)
{
	fprintf(out, "fds:");
	for (int i = 0; i < 64; i++)
		if (i != fileno(out) && fcntl(i, F_GETFD) >= 0)
			fprintf(out, " %d", i);
	fprintf(out, "\n");
}

static void facts(FILE *out)
{
	struct if_nameindex *all = if_nameindex();

	rights(out);
	descriptors(out);
	list(out, "/");
	list(out, "/dev");
	files(out, "/img");
	files(out, "/disks");
	access_of(out, "/usr/bin/env");
	fprintf(out, "links:");
	for (struct if_nameindex *i = all; i && i->if_index; i++)
		fprintf(out, " %s", i->if_name);
	fprintf(out, "\nend\n");
	if_freenameindex(all);
	fflush(out);
}

static bool is_hostile(void)
{
	own_fd fd = open("/img/initrd", O_RDONLY | O_CLOEXEC);
	char text[6] = "";

	return fd >= 0 && read(fd, text, 5) == 5 && str_eq(text, "plant");
}

/* In /run, which is a Firecracker's own. */
static void plant(void)
{
	if (chdir("/run") < 0)
		return;
	(void)!symlink("/etc/passwd", "api.sock");
	(void)!symlink("/etc", "etc");
	(void)!symlink("../../../../../../etc", "up");
	for (int i = 0; i < DEPTH; i++)
		if (mkdir("deep", 0700) < 0 || chdir("deep") < 0)
			break;
}

static int listen_at(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 4) < 0)
		return -1;
	return fd;
}

int main(void)
{
	bool console = fcntl(CONSOLE_FD, F_GETFD) >= 0;
	int api;

	signal(SIGPIPE, SIG_IGN);
	if (!console && is_hostile())
		plant();
	api = console ? -1 : listen_at("/run/api.sock");
	if (!console)
		facts(stdout);
	for (;;) {
		int fd = accept(console ? CONSOLE_FD : api, NULL, NULL);
		FILE *out;

		if (fd < 0) {
			pause();
			continue;
		}
		out = fdopen(fd, "w");
		if (out) {
			facts(out);
			fclose(out);
		}
	}
}

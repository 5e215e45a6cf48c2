/*
 * vmm.c - stands where the configuration names the VMM: notes when it was executed and with which
 * words, then becomes the VMM itself.
 *
 * In the directory where it lies: `stamp` gets the monotonic nanosecond, `args` the words, each
 * ended by NUL; if there is a file `forward`, the port that it holds leads to the guest's port 22.
 */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

enum { NETDEV_BYTES = 128 };

static void note(int dir, const char *name, const void *p, size_t n)
{
	own_fd fd = openat(dir, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, p, n) != (ssize_t)n)
		perror("vmm: cannot note");
}

static void note_args(int dir, char **argv)
{
	unlinkat(dir, "args", 0);
	for (; *argv; argv++)
		note(dir, "args", *argv, strlen(*argv) + 1);
}

static void forward(int dir, char **argv, char netdev[NETDEV_BYTES])
{
	own_fd fd = openat(dir, "forward", O_RDONLY | O_CLOEXEC);
	char port[8] = "";

	if (fd < 0 || read(fd, port, 5) <= 0)
		return;
	for (; *argv; argv++)
		if (strncmp(*argv, "user,id=", 8) == 0) {
			snprintf(netdev, NETDEV_BYTES, "%s,hostfwd=tcp:127.0.0.1:%s-:22", *argv,
				port);
			*argv = netdev;
			return;
		}
	fprintf(stderr, "vmm: no user-mode network to forward a port of\n");
}

int main(int argc UNUSED, char **argv)
{
	char self[4096], stamp[32], netdev[NETDEV_BYTES];
	struct timespec t;
	own_fd dir = -1;
	char *slash;
	ssize_t n;

	clock_gettime(CLOCK_MONOTONIC, &t);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return 127;
	self[n] = '\0';
	slash = strrchr(self, '/');
	*slash = '\0';
	dir = open(self, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return 127;
	note(dir, "stamp", stamp,
		(size_t)snprintf(stamp, sizeof(stamp), "%llu\n",
			(unsigned long long)t.tv_sec * 1000000000 + (unsigned long long)t.tv_nsec));
	note_args(dir, argv);
	forward(dir, argv, netdev);
	execvp(slash + 1, argv);
	perror("vmm: cannot become the VMM");
	return 127;
}

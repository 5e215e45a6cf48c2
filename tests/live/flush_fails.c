/*
 * flush_fails.c - loaded into a daemon (LD_PRELOAD): while the file that FLUSH_FAILS names is
 * there, fdatasync fails with the error whose number is in it. LMDB flushes with that call.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int error_wanted(void)
{
	const char *path = getenv("FLUSH_FAILS");
	char text[16] = "";
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return 0;
	(void)!read(fd, text, sizeof(text) - 1);
	close(fd);
	return (int)strtol(text, NULL, 10);
}

int fdatasync(int fd)
{
	int error = error_wanted();

	if (!error)
		return (int)syscall(SYS_fdatasync, fd);
	errno = error;
	return -1;
}

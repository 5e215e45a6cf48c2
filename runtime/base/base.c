/*
 * base.c - the assertion's last words and the releases behind the own_ scopes.
 * Never allocates; every release keeps errno, so that an error survives the scope it left.
 */
#include "base/base.h"

#include <dirent.h>
#include <unistd.h>

#include "base/log.h"

void must_failed(const char *expr, const char *file, int line)
{
	log_line(LOG_ERROR, "must", "broken invariant", "expr", expr, "file", file, "line",
		log_u64((uint64_t)line).s, NULL);
	abort();
}

void fd_done(int *fd)
{
	int e = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = e;
}

void mem_done(void *pp)
{
	void *p;

	memcpy(&p, pp, sizeof(p));
	free(p);
}

void file_done(FILE **f)
{
	int e = errno;

	if (*f)
		fclose(*f);
	*f = NULL;
	errno = e;
}

void dir_done(struct __dirstream **d)
{
	int e = errno;

	if (*d)
		closedir(*d);
	*d = NULL;
	errno = e;
}

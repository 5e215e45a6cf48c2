/*
 * stretch.c - SEEK_DATA and SEEK_HOLE.
 */
#include "worker/stretch.h"

#include <unistd.h>

enum err stretch_next(int fd, off_t size, struct stretch *s, struct why *why)
{
	off_t at = s->end < size ? lseek(fd, s->end, SEEK_DATA) : size, hole;

	if (at < 0 && errno != ENXIO)
		return fail_errno(why, "cannot find data");
	*s = (struct stretch){ size, size };
	if (at < 0 || at >= size)
		return OK;
	hole = lseek(fd, at, SEEK_HOLE);
	if (hole < 0)
		return fail_errno(why, "cannot find holes");
	*s = (struct stretch){ at, MIN(hole, size) };
	return OK;
}

/*
 * sys/loopdev.h - loop devices over a file that is open already.
 *
 * A loop device carries a mark (its lo_file_name, which only root can set), by which whoever made
 * it tells it from others; and it clears itself when its last user goes, so that one that nothing
 * stands on is not left behind, whoever dies.
 */
#ifndef SYS_LOOPDEV_H
#define SYS_LOOPDEV_H

#include <sys/types.h>

#include "base/err.h"

enum { LOOP_CONTROL_MAJOR = 10, LOOP_CONTROL_MINOR = 237, LOOP_MAJOR = 7, LOOP_MARK_BYTES = 63 };

/* The number of a device that is free at this moment; -1 with errno. Made when all are taken. */
int loopdev_free(int control);

/*
 * Attaches file and checks that it is this very file that is attached. ERR_busy: somebody was
 * quicker, try the next free one.
 */
enum err loopdev_attach(
	int dev, int file, bool read_only, const char *mark, struct why *why) MUST_CHECK;

/* The mark of a device; false with errno, ENXIO when it is not attached. */
bool loopdev_mark(int dev, char out[LOOP_MARK_BYTES + 1]);

/* Detaches; the file is let go when the last user of the device goes. Not attached is fine. */
enum err loopdev_clear(int dev, struct why *why) MUST_CHECK;

#endif

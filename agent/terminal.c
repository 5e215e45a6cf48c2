/*
 * terminal.c - opens the master through the image's /dev/ptmx, so that `tty` names a path that
 * exists in the image, and the other side through the master.
 */
#include "agent/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "agent/image.h"

enum { TTY_GROUP = 5 }; /* as devpts is mounted */

enum err terminal_open(int root, const struct pty *pty, const struct account *owner,
	int *ret_master, int *ret_slave, struct why *why)
{
	own_fd master = image_open(root, "/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
	own_fd slave = -1;
	struct termios t;
	int locked = 0;

	if (master < 0 || ioctl(master, TIOCSPTLCK, &locked) < 0)
		return fail_errno(why, "cannot open a terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return fail_errno(why, "cannot open the terminal's other side");
	if (tcgetattr(slave, &t) == 0) {
		t.c_iflag |= IUTF8;
		(void)tcsetattr(slave, TCSANOW, &t);
	}
	if (fchown(slave, owner->uid, TTY_GROUP) < 0 || fchmod(slave, 0620) < 0)
		return fail_errno(why, "cannot give the terminal to %s", owner->name);
	terminal_resize(master, pty->rows, pty->cols);
	*ret_master = take_fd(&master);
	*ret_slave = take_fd(&slave);
	return OK;
}

void terminal_resize(int master, uint64_t rows, uint64_t cols)
{
	struct winsize w = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };

	(void)ioctl(master, TIOCSWINSZ, &w);
}

size_t terminal_eof(int master, uint8_t last, uint8_t out[2])
{
	struct termios t;

	/* a program that reads keys has no end of input */
	if (tcgetattr(master, &t) < 0 || !(t.c_lflag & ICANON))
		return 0;
	out[0] = out[1] = t.c_cc[VEOF];
	/* behind half a line the first one only hands that half over */
	return last == '\n' || last == '\0' || last == t.c_cc[VEOF] ? 1 : 2;
}

/*
 * cli/tty.h - the user's terminal: raw while a guest's program owns it, and as it was before after
 * that, however this process ends (but for a kill -9).
 */
#ifndef CLI_TTY_H
#define CLI_TTY_H

#include <stdbool.h>

#include "proto/proto.h"

/* Makes the terminal on fd raw; restored by tty_restore, at exit, and before deadly signals. */
bool tty_raw(int fd);
void tty_restore(void); /* not raw is fine */
void tty_again(void); /* raw once more, after the process was stopped and goes on */

/* Size of the terminal on fd, 24 by 80 when there is none, and the TERM to use. */
void tty_describe(int fd, struct pty *ret);

#endif

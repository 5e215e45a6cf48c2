/*
 * agent/terminal.h - a pseudo-terminal of the image's own /dev/pts.
 */
#ifndef AGENT_TERMINAL_H
#define AGENT_TERMINAL_H

#include "agent/account.h"
#include "proto/proto.h"

enum err terminal_open(int root, const struct pty *pty, const struct account *owner,
	int *ret_master, int *ret_slave, struct why *why) MUST_CHECK;
void terminal_resize(int master, uint64_t rows, uint64_t cols);
/* What to write to the master so that its reader sees the end of input; answers how many bytes. */
size_t terminal_eof(int master, uint8_t last, uint8_t out[2]);

#endif

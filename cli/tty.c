/*
 * tty.c - raw mode with a restore that cannot be forgotten.
 *
 * The saved settings are the one static state of this program: a signal handler has no other way to
 * find them.
 */
#include "cli/tty.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "proto/check.h"

static struct {
	struct termios was, raw;
	int fd;
	volatile sig_atomic_t is_raw;
} tty;

/* In the background a change of settings would stop us; the terminal is then not ours to change. */
static void apply(const struct termios *t)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old;

	sigaction(SIGTTOU, &ignore, &old);
	tcsetattr(tty.fd, TCSADRAIN, t);
	sigaction(SIGTTOU, &old, NULL);
}

void tty_restore(void)
{
	if (!tty.is_raw)
		return;
	tty.is_raw = 0;
	apply(&tty.was);
}

static void on_deadly(int signal)
{
	tty_restore();
	raise(signal); /* SA_RESETHAND: now it ends us */
}

void tty_again(void)
{
	if (tty.is_raw)
		apply(&tty.raw);
}

bool tty_raw(int fd)
{
	static const int deadly[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM, SIGSYS };
	struct sigaction restore = { .sa_handler = on_deadly, .sa_flags = (int)SA_RESETHAND };

	if (tcgetattr(fd, &tty.was) < 0)
		return false;
	tty.fd = fd;
	tty.raw = tty.was;
	cfmakeraw(&tty.raw);
	if (!tty.is_raw)
		atexit(tty_restore);
	for (size_t i = 0; i < COUNT(deadly); i++)
		sigaction(deadly[i], &restore, NULL);
	tty.is_raw = 1;
	apply(&tty.raw);
	return true;
}

void tty_describe(int fd, struct pty *ret)
{
	const char *term = getenv("TERM");
	struct winsize w;

	*ret = (struct pty){ .rows = 24, .cols = 80, .term = "xterm" };
	if (ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_row && w.ws_col) {
		ret->rows = MIN(w.ws_row, 10000);
		ret->cols = MIN(w.ws_col, 10000);
	}
	if (term && term[0] && !type_ok(&type_term, "TERM", term, NULL))
		ret->term = term;
}

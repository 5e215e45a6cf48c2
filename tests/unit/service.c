/*
 * unit/service.c - what systemd hands over: the one socket that is ours, and nothing for others.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/service.h"

enum { FIRST = 3, HANDED = 3 };

static int listening(int domain)
{
	int fd = socket(domain, SOCK_STREAM, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	assert_true(fd >= 0);
	if (domain == AF_UNIX) /* a name that the kernel picks */
		assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family)), 0);
	return fd;
}

static void set_number(const char *name, long long v)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", v);
	setenv(name, text, 1);
}

/* In a child: its descriptors 3, 4 and 5 are a file, a TCP socket and our socket. */
static int child(long long pid_off, int want)
{
	int file = open("/dev/null", O_RDONLY), tcp = listening(AF_INET), ours = listening(AF_UNIX);
	int moved[HANDED] = { fcntl(file, F_DUPFD, 20), fcntl(tcp, F_DUPFD, 20),
		fcntl(ours, F_DUPFD, 20) };
	int got;

	for (int i = 0; i < HANDED; i++)
		dup2(moved[i], FIRST + i);
	set_number("LISTEN_PID", getpid() + pid_off);
	set_number("LISTEN_FDS", HANDED);
	got = service_listener();
	if (got != want || getenv("LISTEN_FDS") || getenv("LISTEN_PID"))
		return 1;
	if (want < 0)
		return fcntl(FIRST, F_GETFD) < 0; /* not ours: not touched */
	/* what we do not know is closed; what we know is not for children, and never blocks */
	return fcntl(FIRST, F_GETFD) >= 0 || fcntl(FIRST + 1, F_GETFD) >= 0 ||
	       fcntl(got, F_GETFD) != FD_CLOEXEC || !(fcntl(got, F_GETFL) & O_NONBLOCK);
}

static void handed_over(void **state UNUSED)
{
	static const struct {
		long long pid_off;
		int want;
	} rows[] = { { 0, FIRST + 2 }, { 1, -1 } };

	for (size_t i = 0; i < COUNT(rows); i++) {
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (pid == 0)
			_exit(child(rows[i].pid_off, rows[i].want));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		check_row(WIFEXITED(status) && WEXITSTATUS(status) == 0, "row %zu", i);
	}
}

static void nothing(void **state UNUSED)
{
	static const char *const fds[] = { "", "-1", "x", "99999999999999999999" };

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	assert_int_equal(service_listener(), -1);
	for (size_t i = 0; i < COUNT(fds); i++) {
		set_number("LISTEN_PID", getpid());
		setenv("LISTEN_FDS", fds[i], 1);
		check_row(service_listener() == -1, "LISTEN_FDS=%s", fds[i]);
	}
}

/* The variable names another file than our errors: they do not go to the journal. */
static void no_journal(void **state UNUSED)
{
	static const char *const streams[] = { "1:1", "", "0:0x", ":" };

	for (size_t i = 0; i < COUNT(streams); i++) {
		setenv("JOURNAL_STREAM", streams[i], 1);
		check_row(service_journal() == -1, "JOURNAL_STREAM=%s", streams[i]);
		assert_null(getenv("JOURNAL_STREAM"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(handed_over), TEST(nothing), TEST(no_journal) };

	return RUN(tests);
}

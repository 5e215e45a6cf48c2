/*
 * unit/notify.c - what systemd is told, and when nothing is.
 */
#include "tests/unit/unit.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/notify.h"

static int listen_at(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path + 1, name, strlen(name)); /* abstract: nothing to clean up */
	assert_int_equal(
		bind(fd, (struct sockaddr *)&sa,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))),
		0);
	return fd;
}

static void told(void **state UNUSED)
{
	char name[64], env[65], pid[16], got[64] = "";
	struct notify n;
	int fd;

	snprintf(name, sizeof(name), "banger-notify-%d", (int)getpid());
	snprintf(env, sizeof(env), "@%s", name);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	fd = listen_at(name);
	setenv("NOTIFY_SOCKET", env, 1);
	setenv("WATCHDOG_USEC", "60000000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	notify_open(&n);
	assert_int_equal(n.watchdog_ms, 30000);
	assert_null(getenv("NOTIFY_SOCKET"));
	notify_send(&n, "READY=1");
	assert_int_equal(recv(fd, got, sizeof(got) - 1, 0), 7);
	assert_string_equal(got, "READY=1");
	notify_close(&n);

	setenv("NOTIFY_SOCKET", env, 1);
	setenv("WATCHDOG_USEC", "60000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	notify_open(&n);
	assert_int_equal(n.watchdog_ms, 0);
	notify_close(&n);
	close(fd);
}

static void nobody_wants_to_know(void **state UNUSED)
{
	static const char *const odd[] = { "", "relative", "/nowhere/at/all",
		"@0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789" };
	struct notify n;

	unsetenv("NOTIFY_SOCKET");
	setenv("WATCHDOG_USEC", "60000000", 1);
	notify_open(&n);
	assert_int_equal(n.fd, -1);
	assert_int_equal(n.watchdog_ms, 0);
	notify_send(&n, "READY=1");
	for (size_t i = 0; i < COUNT(odd); i++) {
		setenv("NOTIFY_SOCKET", odd[i], 1);
		notify_open(&n);
		assert_int_equal(n.fd, -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(told),
		cmocka_unit_test(nobody_wants_to_know) };

	return RUN(tests);
}

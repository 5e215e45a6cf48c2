/*
 * service.c - systemd's plain protocols: a few variables, and the journal's datagram socket.
 */
#include "sys/service.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

enum { FIRST_FD = 3, HANDED_MAX = 64 };

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static bool number_of(const char *name, uint64_t *ret)
{
	const char *text = getenv(name);

	return text && parse_u64(text, ret, NULL) == OK;
}

/* How many descriptors from FIRST_FD on are ours. */
static unsigned handed_over(void)
{
	uint64_t pid, n;
	bool ours = number_of("LISTEN_PID", &pid) && pid == (uint64_t)getpid() &&
		    number_of("LISTEN_FDS", &n);

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return ours ? (unsigned)MIN(n, (uint64_t)HANDED_MAX) : 0;
}

/*
 * listen() again, for a client asks who called it last (SO_PEERCRED) and must hear of us and not of
 * process 1. Clients that came before us stay in the queue.
 */
int service_listener(void)
{
	unsigned n = handed_over();
	int ours = -1;

	for (int fd = FIRST_FD; fd < FIRST_FD + (int)n; fd++) {
		int domain = 0;
		socklen_t size = sizeof(domain);

		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		if (ours < 0 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
			domain == AF_UNIX && listen(fd, 1024) == 0)
			ours = fd;
		else
			close(fd);
	}
	return ours;
}

/* The variable may be inherited by somebody whose errors go elsewhere. */
static bool errors_are(const char *stream)
{
	char own[64];
	struct stat st;

	if (fstat(2, &st) < 0)
		return false;
	snprintf(own, sizeof(own), "%llu:%llu", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino);
	return str_eq(stream, own);
}

int service_journal(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
	const char *stream = getenv("JOURNAL_STREAM");
	own_fd fd = -1;

	if (stream && errors_are(stream))
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unsetenv("JOURNAL_STREAM");
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -1;
	return take_fd(&fd);
}

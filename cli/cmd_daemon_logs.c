/*
 * cmd_daemon_logs.c - `banger daemon logs`: the file that a daemon started on demand writes.
 *
 * It asks no daemon, so that it also tells why one does not start. Following waits on inotify; a
 * log that was moved away or cut short is opened anew.
 */
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/report.h"
#include "cli/spawn.h"
#include "conf/places.h"

enum { LINES = 200 };

static const struct flag flags[] = {
	{ .name = "follow", .letter = 'f',
		.doc = "go on with what is written from now, until Ctrl-C" },
	{ .name = "lines", .letter = 'n', .type = &type_u64, .value = "N",
		.doc = "so many lines from the end; 200 when absent" },
	{ .name = NULL },
};

/* Where the last n lines begin. */
static off_t last_lines(int fd, uint64_t n)
{
	off_t end = lseek(fd, 0, SEEK_END), at = end;
	char chunk[4096];

	if (end <= 0 || n == 0)
		return MAX(end, 0);
	while (at > 0) {
		size_t want = (size_t)MIN(at, (off_t)sizeof(chunk));
		ssize_t got = pread(fd, chunk, want, at - (off_t)want);

		if (got != (ssize_t)want)
			return 0;
		for (size_t i = want; i > 0; i--)
			if (chunk[i - 1] == '\n' && at - (off_t)want + (off_t)i != end && --n == 0)
				return at - (off_t)want + (off_t)i;
		at -= (off_t)want;
	}
	return 0;
}

/* Copies to stdout what there is behind the file's position. */
static enum err copy_on(int fd, struct why *why)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(why, "cannot read the log");
		if (fwrite(chunk, 1, (size_t)n, stdout) != (size_t)n)
			return OK; /* finish() tells */
	}
	fflush(stdout);
	return OK;
}

/* After a change: from the start again when the file was cut or replaced. */
static void follow_file(const char *path, int *fd)
{
	struct stat now, held;
	off_t at = lseek(*fd, 0, SEEK_CUR);
	int anew;

	if (fstat(*fd, &held) == 0 && held.st_size < at)
		lseek(*fd, 0, SEEK_SET);
	if (stat(path, &now) < 0 || (now.st_ino == held.st_ino && now.st_dev == held.st_dev))
		return;
	anew = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (anew < 0)
		return;
	close(*fd);
	*fd = anew;
}

static enum err follow(const char *path, int *fd, struct why *why)
{
	char dir[PLACE_BYTES], events[4096];
	own_fd watch = inotify_init1(IN_CLOEXEC);
	enum err e;

	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	/* the directory, for a new file in the old one's place tells nothing on the old one */
	if (watch < 0 || inotify_add_watch(watch, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return fail_errno(why, "cannot watch %.200s", dir);
	for (;;) {
		e = copy_on(*fd, why);
		if (e || ferror(stdout))
			return e;
		if (read(watch, events, sizeof(events)) < 0 && errno != EINTR)
			return fail_errno(why, "cannot watch %.200s", dir);
		e = copy_on(*fd, why);
		if (e)
			return e;
		follow_file(path, fd);
	}
}

static int logs(struct cli *c)
{
	const struct given *lines = flag_given(c, "lines");
	char path[PLACE_BYTES];
	struct place socket;
	bool installed = false;
	own_fd fd = -1;
	struct why why;

	if (place_socket(&socket, &installed, &why) || daemon_log(path, sizeof(path), &why))
		return report(c, &why);
	if (installed) {
		fail(&why, ERR_unsupported, "an installed daemon writes to the journal");
		fail_hint(&why, "journalctl -u bangerd");
		return report(c, &why);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		fail_errno(&why, "cannot open %.200s", path);
		fail_hint(&why, "a daemon that is started on demand writes it");
		return report(c, &why);
	}
	lseek(fd, last_lines(fd, lines->set ? lines->number : LINES), SEEK_SET);
	if (flag_on(c, "follow") ? follow(path, &fd, &why) : copy_on(fd, &why))
		return report(c, &why);
	return EXIT_DONE;
}

const struct command cmd_daemon_logs = {
	.words = "daemon logs",
	.args = "",
	.flags = flags,
	.doc = "what the daemon wrote",
	.example = "banger daemon logs\nbanger daemon logs -f -n 20",
	.run = logs,
};

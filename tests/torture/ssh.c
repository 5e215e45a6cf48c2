/*
 * torture/ssh.c - files of ssh are edited while memory and system calls say no: each is the old one
 * or the new one, whole, and never lacks a line of somebody else.
 */
#include "tests/torture/torture.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "cli/ssh.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7HvqvdSnEFjnNXV/fDDllER2Kvy4kcQR61iWEz5j0e"
#define OTHER "other.vm " KEY "\n"

struct spot {
	char dir[64], file[80];
};

static void make(struct spot *s, const char *text)
{
	int fd;

	snprintf(s->dir, sizeof(s->dir), "/tmp/banger-torture-XXXXXX");
	must(mkdtemp(s->dir));
	snprintf(s->file, sizeof(s->file), "%s/file", s->dir);
	fd = open(s->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void read_back(const struct spot *s, char *text, size_t size)
{
	int fd = open(s->file, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, size - 1);

	must(fd >= 0 && n >= 0);
	text[n] = '\0';
	close(fd);
}

/* A new file may be left beside it, when its removal was made to fail. */
static void sweep(const struct spot *s)
{
	own_dir dir = opendir(s->dir);
	struct dirent *e;

	must(dir);
	while ((e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			must(unlinkat(dirfd(dir), e->d_name, 0) == 0);
	must(rmdir(s->dir) == 0);
}

static void known_hosts(void)
{
	static const char *const key = KEY;
	struct why why = { .text = "" };
	char text[1024];
	struct spot s;
	enum err e;

	torture_off();
	make(&s, OTHER "m.vm ssh-rsa old\n");
	torture_on();
	e = known_hosts_set(s.file, "m.vm", &key, 1, &why);
	torture_off();
	read_back(&s, text, sizeof(text));
	torture_on();
	if (e == OK)
		torture_must(str_eq(text, OTHER "m.vm " KEY "\n"));
	else
		torture_must(torture_struck() && why.text[0]);
	torture_must(
		str_eq(text, OTHER "m.vm " KEY "\n") || str_eq(text, OTHER "m.vm ssh-rsa old\n"));
	torture_off();
	sweep(&s);
	torture_on();
}

static const struct scenario scenarios[] = {
	{ .name = "a host's keys are written down", .run = known_hosts },
};

TORTURE(scenarios)

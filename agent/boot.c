/*
 * boot.c - what process 1 does, in order: kernel filesystems, modules, disks, network, identity;
 * then it hands over.
 *
 * The agent keeps the initramfs as its own root for good. With an init in the image, process 1
 * moves to the image and becomes it, and a child becomes the agent. Without one, process 1 itself
 * does.
 */
#include "agent/boot.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/conf.h"
#include "agent/disk.h"
#include "agent/identity.h"
#include "agent/image.h"
#include "agent/init.h"
#include "agent/modules.h"
#include "agent/nested.h"
#include "agent/net.h"
#include "agent/uevent.h"
#include "base/log.h"

enum { DISK_WAIT_MS = 10000 };

struct boot {
	struct conf conf;
	struct warnings warnings;
	int uevents;
	int root; /* the image, O_PATH */
	enum init_kind kind;
	const char *init;
};

void power_off(bool again, bool reset_ends)
{
	sync();
	/* Where nothing can cut the power the kernel would halt for ever; a reset ends the VMM. */
	if (!again && !reset_ends && access("/sys/firmware/acpi/tables/FACP", F_OK) == 0)
		reboot(RB_POWER_OFF);
	reboot(RB_AUTOBOOT);
	_exit(1);
}

static void give_up(struct boot *b, const char *what)
{
	log_line(LOG_ERROR, "boot", "cannot boot", "reason", what, NULL);
	power_off(false, b->conf.reset_ends);
}

static void mount_at(struct boot *b, const char *type, const char *at, unsigned long flags,
	const char *options)
{
	if (mkdir(at, 0755) < 0 && errno != EEXIST)
		warn(&b->warnings, "cannot make %s: %s", at, strerror(errno));
	else if (mount(type, at, type, flags, options) < 0 && errno != EBUSY)
		warn(&b->warnings, "cannot mount %s: %s", at, strerror(errno));
}

/* Scripts count on them; the kernel does not make them. One /dev serves the image too. */
static void standard_links(struct boot *b)
{
	static const char *const links[][2] = { { "/proc/self/fd", "/dev/fd" },
		{ "fd/0", "/dev/stdin" }, { "fd/1", "/dev/stdout" }, { "fd/2", "/dev/stderr" } };

	for (size_t i = 0; i < COUNT(links); i++)
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			warn(&b->warnings, "cannot make %s: %s", links[i][1], strerror(errno));
}

static void own_filesystems(struct boot *b)
{
	int log, console;

	mount_at(b, "devtmpfs", "/dev", MS_NOSUID, "mode=0755");
	standard_links(b);
	console = open("/dev/console", O_RDWR | O_NOCTTY);
	if (console < 0)
		console = open("/dev/null", O_RDWR);
	for (int fd = 0; fd <= 2 && console >= 0; fd++)
		if (fd != console)
			dup2(console, fd);
	if (console > 2)
		close(console);
	log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (log >= 0)
		log_to(log, LOG_INFO, true);
	mount_at(b, "proc", "/proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
	mount_at(b, "sysfs", "/sys", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
}

static void mount_root(struct boot *b)
{
	char disk[DISK_PATH_BYTES];
	struct why why;
	bool ro;

	if (mkdir(IMAGE_AT, 0755) < 0 && errno != EEXIST)
		give_up(b, "cannot make " IMAGE_AT);
	if (!disk_await(b->uevents, "root", b->conf.disks, monotonic_ms() + DISK_WAIT_MS, disk))
		give_up(b, "no disk with serial 'root' appeared");
	if (disk_mount(disk, IMAGE_AT, false, &ro, &why))
		give_up(b, why.text);
	if (ro)
		warn(&b->warnings, "the root disk is read-only");
	b->root = open(IMAGE_AT, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (b->root < 0)
		give_up(b, "cannot open " IMAGE_AT);
}

static void mount_work(struct boot *b)
{
	char disk[DISK_PATH_BYTES];
	own_fd at = -1;
	struct why why;
	bool ro;

	if (!b->conf.home[0])
		return;
	at = image_dir(b->root, b->conf.home, b->conf.uid, b->conf.gid);
	if (at < 0)
		warn(&b->warnings, "cannot make %s: %s", b->conf.home, strerror(errno));
	else if (!disk_await(b->uevents, "work", b->conf.disks, monotonic_ms() + DISK_WAIT_MS,
			 disk))
		warn(&b->warnings, "no disk with serial 'work' appeared");
	else if (disk_mount(disk, fd_path(at).s, false, &ro, &why))
		warn(&b->warnings, "%s", why.text);
	else {
		own_fd fs = image_open(b->root, b->conf.home, O_RDONLY | O_DIRECTORY);

		if (disk_grow(disk, fd_path(fs).s, &why))
			warn(&b->warnings, "%s", why.text);
		if (!ro && nested_flatten(fs, b->conf.home, b->conf.uid))
			warn(&b->warnings, "the home lay in %s of the work disk, and was moved up",
				b->conf.home);
	}
}

static void show_modules(struct boot *b)
{
	char disk[DISK_PATH_BYTES];
	struct why why;

	if (disk_find("modules", b->conf.disks, disk) && modules_show(b->root, disk, &why))
		warn(&b->warnings, "%s", why.text);
}

static const struct {
	const char *type, *at, *options;
	unsigned long flags;
	bool always; /* else only where the image has no init of its own */
} image_mounts[] = {
	{ "devtmpfs", "/dev", "mode=0755", MS_NOSUID, true },
	{ "devpts", "/dev/pts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC, true },
	{ "proc", "/proc", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV, true },
	{ "sysfs", "/sys", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV, true },
	{ "cgroup2", "/sys/fs/cgroup", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV, false },
	{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, false },
	{ "tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV, false },
};

static void image_filesystems(struct boot *b)
{
	for (size_t i = 0; i < COUNT(image_mounts); i++) {
		own_fd at = -1;

		if (!image_mounts[i].always && b->kind != init_kind_none)
			continue;
		at = image_dir(b->root, image_mounts[i].at, 0, 0);
		if (at < 0 || mount(image_mounts[i].type, fd_path(at).s, image_mounts[i].type,
				      image_mounts[i].flags, image_mounts[i].options) < 0)
			warn(&b->warnings, "cannot mount the image's %s: %s", image_mounts[i].at,
				strerror(errno));
	}
}

/* Images made by hand may lack /tmp and /root. */
static void image_directories(struct boot *b)
{
	own_fd tmp = image_open(b->root, "/tmp", O_PATH);

	if (tmp >= 0)
		return;
	tmp = image_dir(b->root, "/tmp", 0, 0);
	if (tmp < 0 || chmod(fd_path(tmp).s, 01777) < 0)
		warn(&b->warnings, "cannot make the image's /tmp: %s", strerror(errno));
}

/* systemd would move a stray process into its own group; one that sits in a group stays there. */
static void own_cgroup(struct boot *b, pid_t agent)
{
	own_fd procs = -1;
	char pid[16];
	int n = snprintf(pid, sizeof(pid), "%d", agent);

	mount_at(b, "cgroup2", "/cgroup", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
	(void)mkdir("/cgroup/banger", 0755);
	procs = open("/cgroup/banger/cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (procs < 0 || write(procs, pid, (size_t)n) < 0)
		log_line(LOG_WARN, "boot", "no cgroup for the agent", "reason", strerror(errno),
			NULL);
}

/* The agent begins anew under its own name; what it has to know goes along as arguments. */
static void become_agent(struct boot *b)
{
	char root[16], kind[16], *argv[4 + WARNINGS_MAX] = { (char[]){ AGENT_NAME }, root, kind };
	char *envp[] = { NULL };

	snprintf(root, sizeof(root), "%d", b->root);
	snprintf(kind, sizeof(kind), "%s", word_of(init_kind, b->kind));
	for (unsigned i = 0; i < b->warnings.n; i++)
		argv[3 + i] = b->warnings.text[i];
	if (fcntl(b->root, F_SETFD, 0) == 0)
		execve("/proc/self/exe", argv, envp);
	give_up(b, "cannot begin the agent");
}

static void hand_over(struct boot *b)
{
	pid_t agent;

	if (b->kind == init_kind_none)
		become_agent(b);
	agent = fork();
	if (agent == 0) {
		setsid();
		become_agent(b);
	}
	if (agent < 0)
		give_up(b, "cannot fork the agent");
	own_cgroup(b, agent);
	init_become(IMAGE_AT, b->init);
	log_line(LOG_ERROR, "boot", "cannot start the image's init", "path", b->init, "reason",
		strerror(errno), NULL);
	power_off(false, b->conf.reset_ends);
}

void boot(void)
{
	struct boot b = { .uevents = -1, .root = -1 };
	char bad[64];
	struct why why;

	umask(022);
	own_filesystems(&b);
	conf_load(&b.conf, bad, sizeof(bad));
	if (bad[0])
		warn(&b.warnings, "the kernel command line's %s does not fit", bad);
	b.uevents = uevent_open();
	modules_load(&b.warnings);
	mount_root(&b);
	mount_work(&b);
	show_modules(&b);
	if (net_setup(&b.conf, &why))
		warn(&b.warnings, "%s", why.text);
	identity_setup(b.root, &b.conf, &b.warnings);
	b.kind = init_find(b.root, &b.init);
	image_filesystems(&b);
	image_directories(&b);
	fd_done(&b.uevents);
	hand_over(&b);
	power_off(false, b.conf.reset_ends);
}

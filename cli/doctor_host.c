/*
 * doctor_host.c - the host as any program sees it: kernel, user, KVM's device, places and room.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/doctor.h"
#include "cli/spawn.h"

enum {
	KERNEL_MAJOR = 5,
	KERNEL_MINOR = 10,
	FILES_LEAST = 1024,
	KVM_API = 12,
	ROOM_FAIL = 512 * 1024 * 1024
};
static const uint64_t room_warn = 5 * GiB;

/* ---- host ---- */

static void kernel(struct part *p)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		finding(p, "kernel", health_warn, NULL, "its release cannot be read");
	else if (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR))
		finding(p, "kernel", health_fail, "banger needs Linux 5.10 or newer",
			"Linux %s is too old", u.release);
	else
		finding(p, "kernel", health_ok, NULL, "Linux %s, %s", u.release, u.machine);
}

/* Row G2: a root user is served, and told what that means. */
static void user(struct part *p)
{
	struct rlimit r;

	if (geteuid() == 0)
		finding(p, "user", health_note, "as a user, or `banger system install`",
			"root: daemon and helper are one here; workers and VMMs drop to a uid of "
			"their own");
	else
		finding(p, "user", health_ok, NULL, "uid %u, not root", (unsigned)geteuid());
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_max < FILES_LEAST)
		finding(p, "descriptors", health_warn, "ulimit -Hn 65536, in the session's limits",
			"at most %llu files may be open; each machine takes about five",
			(unsigned long long)r.rlim_max);
}

static void configuration(struct part *p)
{
	struct why why = { .code = OK };

	if (p->configured) {
		finding(p, "configuration", health_ok, NULL, "read; `banger config show` has it");
		return;
	}
	(void)!conf_load(&p->conf, &why);
	finding(p, "configuration", health_fail,
		why.hint[0] ? why.hint : "mend the line; nothing starts before", "%s", why.text);
}

static void programs(struct part *p)
{
	static const char *const names[] = { "bangerd", "banger-worker", "banger-agent",
		"banger-stub" };
	char path[PLACE_BYTES];
	struct why why;

	for (size_t i = 0; i < COUNT(names); i++)
		if (companion_path(names[i], path, sizeof(path), &why))
			finding(p, "programs", health_fail, why.hint, "%s", why.text);
}

void doctor_host(struct part *p)
{
	kernel(p);
	user(p);
	configuration(p);
	programs(p);
}

/* ---- KVM ---- */

static bool there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

static void not_ours(struct part *p, const struct stat *st)
{
	const struct group *g = getgrgid(st->st_gid);
	char fix[128] = "ask who owns this host for access to /dev/kvm";

	if ((st->st_mode & 0060) == 0060 && g)
		snprintf(fix, sizeof(fix), "sudo usermod -aG %s $USER, then log in again",
			g->gr_name);
	finding(p, "kvm", health_warn, fix,
		"/dev/kvm is group %s's, mode %04o, and not this user's: machines are emulated",
		g ? g->gr_name : "?", (unsigned)st->st_mode & 07777);
}

/* Only where a real module is behind it, and never a guest: that is what the daemon's trial is. */
static void try_device(struct part *p)
{
	own_fd fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int version = fd < 0 ? -1 : ioctl(fd, KVM_GET_API_VERSION, 0);

	if (fd < 0)
		finding(p, "kvm", health_warn, "dmesg | grep -i kvm",
			"/dev/kvm cannot be opened: %s", strerror(errno));
	else if (version != KVM_API)
		finding(p, "kvm", health_warn, NULL, "/dev/kvm speaks API %d, not %d", version,
			KVM_API);
	else
		finding(p, "kvm", health_ok, NULL, "/dev/kvm opens and speaks API %d", version);
}

void doctor_kvm(struct part *p)
{
	const char *enable = "enable virtualization in the firmware, then modprobe kvm_intel or "
			     "kvm_amd; emulation needs neither";
	struct stat st;

	if (stat("/dev/kvm", &st) < 0) {
		finding(p, "kvm", health_note, enable,
			"/dev/kvm is not there: machines are emulated, 5 to 20 times slower");
		return;
	}
#if defined(__x86_64__)
	if (!there("/sys/module/kvm_intel") && !there("/sys/module/kvm_amd")) {
		finding(p, "kvm", health_note, NULL,
			"/dev/kvm is neither Intel's nor AMD's: a paravirtual backend, which hangs "
			"guests, is not used; machines are emulated");
		return;
	}
#endif
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		not_ours(p, &st);
	else
		try_device(p);
}

/* ---- files ---- */

static void mode_of(struct part *p, const char *name, const char *path, mode_t bad, mode_t good)
{
	struct doctor_check *k;
	struct stat st;
	char fix[PLACE_BYTES + 32];

	if (lstat(path, &st) < 0) {
		if (errno != ENOENT)
			finding(p, name, health_fail, NULL, "%s: %s", path, strerror(errno));
		return;
	}
	snprintf(fix, sizeof(fix), "chmod %04o %s", (unsigned)good, path);
	if (st.st_uid != geteuid()) {
		finding(p, name, health_fail, "move it away, or give it back to its owner",
			"%s belongs to uid %u", path, (unsigned)st.st_uid);
		return;
	}
	if (!(st.st_mode & bad))
		return;
	k = finding(p, name, health_warn, fix, "%s has mode %04o: others may come near", path,
		(unsigned)st.st_mode & 07777);
	if (p->fix && !S_ISLNK(st.st_mode) && chmod(path, good) == 0) {
		k->did = arena_str(&p->c->mem, fix);
		k->health = health_note;
	}
}

static void room(struct part *p, const char *path)
{
	char text[32];
	struct statvfs vfs;
	uint64_t bytes;

	if (statvfs(path, &vfs) < 0)
		return;
	bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	show_size(text, sizeof(text), bytes);
	finding(p, "room",
		bytes < ROOM_FAIL ? health_fail :
		bytes < room_warn ? health_warn :
				    health_ok,
		bytes < room_warn ? "banger image prune --all; delete machines; or another "
				    "BANGER_STATE_DIR" :
				    NULL,
		"%s free at %s", text, path);
	if (vfs.f_files > 0 && vfs.f_favail < 1000)
		finding(p, "room", health_warn, "remove files that nobody needs",
			"%llu inodes are free at %s", (unsigned long long)vfs.f_favail, path);
}

/* Files that share blocks: tried with two that have no name, so that nothing can stay. */
static void sharing(struct part *p, const char *dir)
{
	own_fd a = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	own_fd b = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	bool shares = a >= 0 && b >= 0 && ioctl(b, _IOW(0x94, 9, int), a) == 0;

	finding(p, "storage", health_ok, NULL, "files at %s %s", dir,
		shares         ? "share blocks (reflink)" :
		a < 0 || b < 0 ? "cannot be tried for sharing of blocks" :
				 "do not share blocks; machines have qcow2, dm or copies");
}

static void places(struct part *p, const struct place *state, const struct place *runtime)
{
	struct place socket, key, data;
	struct why why;

	mode_of(p, "permissions", state->path, 077, 0700);
	mode_of(p, "permissions", runtime->path, 077, 0700);
	if (place_beneath(&socket, runtime, SOCKET_NAME, &why) == OK)
		mode_of(p, "permissions", socket.path, 0177, 0600);
	if (place_data(&data, &why) == OK &&
		place_beneath(&key, &data, "ssh/id_ed25519", &why) == OK)
		mode_of(p, "permissions", key.path, 077, 0600);
}

void doctor_files(struct part *p)
{
	struct place state, runtime, socket;
	bool system = false, found;
	struct why why;

	found = place_socket(&socket, &system, &why) == OK;
	if (system ? place_system(&state, &runtime, &why) :
		     place_state(&state, &why) || place_runtime(&runtime, &why)) {
		finding(p, "permissions", health_fail, why.hint, "%s", why.text);
		return;
	}
	if (!found)
		finding(p, "permissions", health_warn, why.hint, "%s", why.text);
	places(p, &state, &runtime);
	if (p->checks_n == 0)
		finding(p, "permissions", health_ok, NULL, "%s and %s are this user's alone",
			state.path, runtime.path);
	if (there(state.path)) {
		room(p, state.path);
		sharing(p, state.path);
	} else {
		finding(p, "room", health_note, "banger daemon start makes it",
			"%s is not there yet", state.path);
	}
}

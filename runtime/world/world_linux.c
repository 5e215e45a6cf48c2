/*
 * world_linux.c - the real world's making, its clock, chance and facts about the host.
 */
#include "world/world_linux.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "sys/memory.h"
#include "sys/process.h"

static void find_program_dir(struct world *w)
{
	ssize_t n = readlink("/proc/self/exe", w->program_dir, sizeof(w->program_dir) - 1);
	char *slash;

	w->program_dir[MAX(n, 0)] = '\0';
	slash = strrchr(w->program_dir, '/');
	if (slash)
		*slash = '\0';
}

enum err world_linux_new(struct loop *l, const char *state_dir, const char *runtime_dir,
	uint32_t schema, struct world **ret, struct why *why)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *dirs[] = { [STATE] = state_dir, [RUNTIME] = runtime_dir };
	enum err e = OK;

	if (!w)
		return fail(why, ERR_no_memory, "no memory for the world");
	w->loop = l;
	w->dirs[STATE] = w->dirs[RUNTIME] = -1;
	w->dirs[HOST] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC); /* its path stays "" */
	w->tsc = tsc_mark();
	w->closer = closer_new(); /* without one files are freed on the loop */
	find_program_dir(w);
	if (w->dirs[HOST] < 0)
		e = fail_errno(why, "cannot open /");
	for (size_t i = 0; i < COUNT(dirs) && !e; i++) {
		snprintf(w->paths[i], sizeof(w->paths[i]), "%s", dirs[i]);
		e = open_own_dir(dirs[i], &w->dirs[i], why);
	}
	if (!e && !host_boot_id(w->boot_id))
		e = fail_errno(why, "cannot read the host's boot id");
	if (!e)
		e = kv_open(w->dirs[STATE], state_dir, schema, NULL, 0, &w->kv, why);
	if (!e)
		e = store_thread_new(w, &w->store, why);
	if (e) {
		world_linux_free(w);
		return e;
	}
	*ret = w;
	return OK;
}

void world_linux_free(struct world *w)
{
	if (!w)
		return;
	parcels_done(w);
	http_world_done(w);
	store_thread_free(w->store);
	kv_close(w->kv);
	closer_free(w->closer);
	fd_done(&w->dirs[STATE]);
	fd_done(&w->dirs[RUNTIME]);
	fd_done(&w->dirs[HOST]);
	free(w);
}

static uint64_t clock_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t world_now_ms(struct world *w UNUSED)
{
	return clock_ms(CLOCK_BOOTTIME);
}

uint64_t world_unix_ms(struct world *w UNUSED)
{
	return clock_ms(CLOCK_REALTIME);
}

void world_random(struct world *w UNUSED, void *p, size_t n)
{
	uint8_t *to = p;

	while (n > 0) {
		ssize_t got = getrandom(to, MIN(n, (size_t)256), 0);

		if (got < 0 && errno == EINTR)
			continue;
		must(got > 0);
		to += got;
		n -= (size_t)got;
	}
}

const char *world_boot_id(struct world *w)
{
	return w->boot_id;
}

static void timer_fired(void *ctx)
{
	struct wtimer *t = ctx;

	t->fn(t->ctx);
}

void world_timer(struct world *w, struct wtimer *t, uint64_t ms, void (*fn)(void *), void *ctx)
{
	t->w = w;
	t->fn = fn;
	t->ctx = ctx;
	timer_start(w->loop, &t->linux_timer, ms, timer_fired, t);
}

void world_timer_stop(struct wtimer *t)
{
	timer_stop(&t->linux_timer);
}

uid_t world_plain_uid(struct world *w UNUSED)
{
	return geteuid() == 0 ? PLAIN_UID : geteuid();
}

/* stat and not access: a service that may not use a device is to see that it is there. */
static bool is_there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/*
 * A paravirtual or nested backend opens and then hangs guests, so the modules are asked first.
 * Where there is a root helper, VMMs get it from that.
 */
static const char *kvm_missing(const struct world *w)
{
	if (!is_there("/dev/kvm"))
		return "/dev/kvm is not there";
	if (!w->helper_path[0] && access("/dev/kvm", R_OK | W_OK) < 0)
		return "/dev/kvm may not be opened by this user (add it to group kvm)";
#if defined(__x86_64__)
	if (access("/sys/module/kvm_intel", F_OK) < 0 && access("/sys/module/kvm_amd", F_OK) < 0)
		return "/dev/kvm is neither Intel's nor AMD's (a paravirtual backend hangs guests)";
#endif
	return NULL;
}

static uint64_t memory_available(void)
{
	own_file f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	return kib * 1024;
}

static uint64_t memory_in_our_group(void)
{
	own_fd root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	uint64_t room = memory_room(root);

	return room == UINT64_MAX ? 0 : room;
}

void world_host_facts(struct world *w, struct host_facts *ret)
{
	struct sysinfo info = { .mem_unit = 1 };

	if (!w->tsc_khz)
		w->tsc_khz = tsc_khz(w->tsc);
	sysinfo(&info);
	ret->kvm_why = kvm_missing(w);
	ret->kvm = ret->kvm_why == NULL;
	ret->vhost_vsock = access("/dev/vhost-vsock", R_OK | W_OK) == 0;
	ret->device_mapper = is_there("/dev/mapper/control");
	ret->tsc_khz = w->tsc_khz;
	ret->memory = (uint64_t)info.totalram * info.mem_unit;
	/* where there is a root helper, VMMs live outside of our control group */
	ret->memory_free = w->helper_path[0] ? memory_available() : memory_in_our_group();
}

static bool is_program(const char *path)
{
	return access(path, X_OK) == 0;
}

enum err world_find_program(struct world *w UNUSED, const char *configured, const char *name,
	char *out, size_t size, struct why *why)
{
	const char *path = getenv("PATH");

	if (configured && *configured) {
		if (configured[0] != '/' || !is_program(configured))
			return fail(why, ERR_unavailable, "%s is not a program that can be run",
				configured);
		return snprintf(out, size, "%s", configured) < (int)size ?
			       OK :
			       fail(why, ERR_too_large, "path too long: %s", configured);
	}
	if (!path || !*path)
		path = "/usr/local/bin:/usr/bin:/bin";
	while (*path) {
		size_t n = strcspn(path, ":");

		if (snprintf(out, size, "%.*s/%s", (int)n, path, name) < (int)size &&
			*path == '/' && is_program(out))
			return OK;
		path += n + (path[n] == ':');
	}
	fail(why, ERR_unavailable, "%s was not found on PATH", name);
	return fail_hint(why, "on Debian: apt install qemu-system-x86");
}

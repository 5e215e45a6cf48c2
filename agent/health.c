/*
 * health.c - agent.health, agent.stats and agent.clock: the guest in numbers, and its time.
 */
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "agent/handlers.h"
#include "agent/image.h"
#include "agent/procfs.h"
#include "base/build.h"

uint64_t uptime_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void on_health(const struct request *r)
{
	struct agent *a = r->session->agent;
	struct utsname u = { .release = "unknown", .nodename = "unknown" };
	struct vm_health h = {
		.uptime_ms = uptime_ms(),
		.init = a->init,
		.mounted = mounted_now(a),
		.sessions = a->jobs_n,
		.processes = proc_count(),
		.load_milli = proc_load_milli(),
		.agent = { build_version, build_commit, build_time_ms },
		.kernel = u.release,
		.hostname = u.nodename,
	};

	(void)uname(&u);
	h.ok = h.mounted && !a->down.now;
	answer(r->session, r->msgid, r->id, &h);
}

static void add_disk(int root, const char *path, struct disk_stats *to, uint32_t *n)
{
	own_fd fd = image_open(root, path, O_PATH);
	struct statvfs fs;

	if (fd < 0 || statvfs(fd_path(fd).s, &fs) < 0)
		return;
	to[(*n)++] = (struct disk_stats){
		.path = path,
		.size = (uint64_t)fs.f_blocks * fs.f_frsize,
		.used = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize,
	};
}

void on_stats(const struct request *r)
{
	struct agent *a = r->session->agent;
	struct disk_stats disks[2];
	char mem[4096];
	uint64_t total, available;
	struct guest_stats g = {
		.uptime_ms = uptime_ms(),
		.cpu_ms = proc_cpu_ms(),
		.load_milli = proc_load_milli(),
		.processes = proc_count(),
	};

	proc_read("/proc/meminfo", mem, sizeof(mem));
	total = proc_value(mem, "MemTotal:") * KiB;
	available = proc_value(mem, "MemAvailable:") * KiB;
	g.memory = total;
	g.memory_used = total > available ? total - available : 0;
	g.disks.v = disks;
	add_disk(a->root, "/", disks, &g.disks.n);
	if (a->conf.home[0])
		add_disk(a->root, a->conf.home, disks, &g.disks.n);
	answer(r->session, r->msgid, r->id, &g);
}

void on_clock(const struct request *r)
{
	const struct agent_clock *c = r->body;
	struct timespec t = { (time_t)(c->unix_ns / 1000000000), (long)(c->unix_ns % 1000000000) };
	struct nothing none;
	struct why why;

	if (clock_settime(CLOCK_REALTIME, &t) == 0) {
		answer(r->session, r->msgid, r->id, &none);
		return;
	}
	fail_errno(&why, "cannot set the clock");
	refuse(r->session, r->msgid, &why);
}

/*
 * main.c - bangerd: finds its places, takes the lock, makes the world and the actors, runs the
 * loop.
 *
 * One daemon per state directory: `lock` is held for life, `starting` until the socket listens, so
 * that a second one that is started at the same moment can wait for the first without polling.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/roster.h"
#include "base/build.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/catalog.h"
#include "sys/beneath.h"
#include "sys/notify.h"
#include "sys/service.h"
#include "world/world_linux.h"

enum { SCHEMA = 1 };

#define JAIL_BASE "/var/lib/banger-helper"
#define HELPER_SOCKET "/run/banger-helper/helper.sock"

struct daemon {
	struct env env;
	struct conf conf;
	struct conf_catalog catalog;
	struct place state, runtime;
	struct loop *loop;
	struct world *world;
	struct house *house;
	struct turn_hook letters, store;
	struct timer deadlines;
	struct sigwatch term, interrupt;
	struct notify notify;
	struct timer alive;
	int ready_fd, lock_fd, starting_fd;
	int listener_fd; /* handed over by systemd, or -1 */
	bool system; /* an installed one */
	bool stopping, failed;
	bool store_broke; /* this turn is the last, and no actor acts in it */
};

/*
 * Whoever started us waits on this descriptor: one byte "+", or the reason why there is no
 * daemon.
 */
static void report(struct daemon *d, const char *text)
{
	if (d->ready_fd < 0)
		return;
	(void)!write(d->ready_fd, text, strlen(text));
	fd_done(&d->ready_fd);
}

static uint64_t now_cb(void *ctx)
{
	return world_now_ms(((struct daemon *)ctx)->world);
}

static void deadlines_cb(void *ctx)
{
	house_deadlines(((struct daemon *)ctx)->house);
}

static void wake_at_cb(void *ctx, uint64_t ms)
{
	struct daemon *d = ctx;
	uint64_t now = world_now_ms(d->world);

	if (ms == UINT64_MAX)
		timer_stop(&d->deadlines);
	else
		timer_start(d->loop, &d->deadlines, ms > now ? ms - now : 0, deadlines_cb, d);
}

static bool letters_cb(void *ctx)
{
	struct daemon *d = ctx;
	bool more = !d->store_broke && house_turn(d->house);

	if (d->store_broke || (d->stopping && !more))
		loop_stop(d->loop);
	return more;
}

static bool store_cb(void *ctx)
{
	struct daemon *d = ctx;

	if (!d->store_broke)
		world_store_flush(d->world);
	return false;
}

/*
 * Nobody knows what is on disk, so nothing may be done upon it, not even undone: whoever waits
 * hears why, and the next start looks what is there.
 */
static void store_broke_cb(void *ctx, const struct why *cause)
{
	struct daemon *d = ctx;
	struct why why;

	log_line(LOG_ERROR, "daemon", "the store cannot be trusted any more, ending", "why",
		cause->text, NULL);
	fail(&why, ERR_unavailable, "the daemon ends: %s", cause->text);
	fail_hint(&why,
		"look at the disk of %s; machines run on, and the next command starts "
		"the daemon anew",
		d->state.path);
	report(d, why.text);
	house_give_up(d->house, &why);
	d->store_broke = d->failed = true;
}

static void stop_cb(void *ctx)
{
	((struct daemon *)ctx)->stopping = true;
}

static void say_alive(void *ctx)
{
	struct daemon *d = ctx;

	notify_send(&d->notify, "WATCHDOG=1");
	timer_start(d->loop, &d->alive, d->notify.watchdog_ms, say_alive, d);
}

static void listening_cb(void *ctx, const struct why *why)
{
	struct daemon *d = ctx;

	flock(d->starting_fd, LOCK_UN);
	if (why) {
		log_line(LOG_ERROR, "daemon", "cannot listen", "why", why->text, NULL);
		report(d, why->text);
		d->failed = d->stopping = true;
		return;
	}
	log_line(LOG_INFO, "daemon", "ready", "version", build_version, "commit", build_commit,
		"state", d->state.path, NULL);
	report(d, "+");
	notify_send(&d->notify, "READY=1");
	if (d->notify.watchdog_ms)
		say_alive(d);
}

static void signal_cb(void *ctx, int signal)
{
	log_line(
		LOG_INFO, "daemon", "stopping", "signal", signal == SIGTERM ? "TERM" : "INT", NULL);
	stop_cb(ctx);
}

static void raise_descriptor_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = MIN(r.rlim_max, (rlim_t)65536);
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static int open_lock(int dir, const char *name)
{
	return open_beneath(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
}

/* *ret_mine false: another daemon serves, and it listens by now. */
static enum err take_lock(struct daemon *d, bool *ret_mine, struct why *why)
{
	own_fd dir = -1;
	enum err e = open_own_dir(d->state.path, &dir, why);

	if (e)
		return e;
	d->starting_fd = open_lock(dir, "starting");
	d->lock_fd = open_lock(dir, "lock");
	if (d->starting_fd < 0 || d->lock_fd < 0)
		return fail_errno(why, "cannot open the lock in %s", d->state.path);
	/* whoever starts holds `starting`, so this waits for it; its death ends its lock */
	if (flock(d->starting_fd, LOCK_EX) < 0)
		return fail_errno(why, "cannot take the lock in %s", d->state.path);
	*ret_mine = flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0;
	if (!*ret_mine && errno != EWOULDBLOCK)
		return fail_errno(why, "cannot take the lock in %s", d->state.path);
	return OK;
}

static enum err find_places(struct daemon *d, struct why *why)
{
	enum err e =
		d->system ? place_system(&d->state, &d->runtime, why) : place_state(&d->state, why);

	if (!e && !d->system)
		e = place_runtime(&d->runtime, why);
	if (!e)
		e = place_make(&d->state, why);
	if (!e)
		e = place_make(&d->runtime, why);
	if (!e)
		e = conf_load(&d->conf, why);
	if (!e)
		e = catalog_load(&d->catalog, d->conf.v.catalog, why);
	return e;
}

/* Where the root helper listens; a test names another place, and answers there itself. */
static void find_helper(struct daemon *d)
{
	const char *named = getenv("BANGER_HELPER_SOCKET");

	if (named && named[0] == '/' && strlen(named) < PATH_MAX)
		world_linux_helper(d->world, named, geteuid());
	else
		world_linux_helper(d->world, HELPER_SOCKET, 0);
}

static const char *jail_base(void)
{
	const char *named = getenv("BANGER_JAIL_BASE");

	return named && named[0] == '/' ? named : JAIL_BASE;
}

static enum err open_all(struct daemon *d, struct why *why)
{
	struct house_world hw = { now_cb, wake_at_cb, d };
	enum err e = loop_new(&d->loop, why);

	if (!e)
		e = world_linux_new(
			d->loop, d->state.path, d->runtime.path, SCHEMA, &d->world, why);
	if (e)
		return e;
	world_on_store_broken(d->world, store_broke_cb, d);
	if (d->system)
		find_helper(d);
	d->env = (struct env){ .world = d->world,
		.config = &d->conf.v,
		.catalog = &d->catalog.v,
		.mode = d->system ? mode_system : mode_user,
		.listener = d->listener_fd,
		.state_dir = d->state.path,
		.runtime_dir = d->runtime.path,
		.jail_base = jail_base(),
		.started_ms = world_now_ms(d->world),
		.listening = listening_cb,
		.stop = stop_cb,
		.stop_ctx = d };
	e = roster_house(&d->env, &hw, &d->house, why);
	if (e)
		return e;
	turn_hook_add(d->loop, &d->letters, letters_cb, d);
	turn_hook_add(d->loop, &d->store, store_cb, d);
	sigwatch_start(d->loop, &d->term, SIGTERM, signal_cb, d);
	sigwatch_start(d->loop, &d->interrupt, SIGINT, signal_cb, d);
	return house_open(d->house, why);
}

static void close_all(struct daemon *d)
{
	house_free(d->house);
	timer_stop(&d->deadlines);
	sigwatch_stop(&d->term);
	sigwatch_stop(&d->interrupt);
	world_linux_free(d->world);
	loop_free(d->loop);
	catalog_done(&d->catalog);
	conf_done(&d->conf);
}

static int serve(struct daemon *d)
{
	struct why why;
	int journal = service_journal();
	bool mine;

	if (find_places(d, &why) || take_lock(d, &mine, &why))
		goto fail;
	if (!mine) {
		report(d, "+");
		return 0;
	}
	log_to(journal >= 0 ? journal : 2, (enum log_level)d->conf.v.log_level,
		journal >= 0 ? LOG_JOURNAL : LOG_TIMED);
	notify_open(&d->notify);
	if (open_all(d, &why))
		goto fail;
	loop_run(d->loop);
	notify_send(&d->notify, "STOPPING=1");
	timer_stop(&d->alive);
	log_line(LOG_INFO, "daemon", "stopped", NULL);
	close_all(d);
	return d->failed;
fail:
	log_line(LOG_ERROR, "daemon", "cannot start", "why", why.text, "hint",
		why.hint[0] ? why.hint : NULL, NULL);
	report(d, why.text);
	close_all(d);
	return 1;
}

static int usage(int code)
{
	fputs("usage: bangerd [--system] [--ready-fd N]\n"
	      "  The owner's daemon of banger. `banger` starts it when it is needed.\n"
	      "  --system      as `banger system install` set it up: " SYSTEM_STATE_DIR
	      " and " SYSTEM_RUNTIME_DIR "\n"
	      "  --ready-fd N  write one byte to descriptor N when the socket listens\n"
	      "  --version     print the version tuple\n",
		code ? stderr : stdout);
	return code;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "ready-fd", required_argument, NULL, 'r' },
		{ "system", no_argument, NULL, 's' }, { "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	static struct daemon d = {
		.notify = { .fd = -1 }, .ready_fd = -1, .lock_fd = -1, .starting_fd = -1
	};
	uint64_t fd;
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (o == 'r' && parse_u64(optarg, &fd, NULL) == OK && fd < 1024) {
			d.ready_fd = (int)fd;
			fcntl(d.ready_fd, F_SETFD, FD_CLOEXEC);
		} else if (o == 's') {
			d.system = true;
		} else if (o == 'v') {
			printf("bangerd %s %s %llu\n", build_version, build_commit,
				(unsigned long long)build_time_ms / 1000);
			return 0;
		} else {
			return usage(o == 'h' ? 0 : 2);
		}
	}
	if (optind < argc)
		return usage(2);
	d.listener_fd = service_listener();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	umask(077);
	prctl(PR_SET_DUMPABLE, 0);
	raise_descriptor_limit();
	return serve(&d);
}

/*
 * main.c - banger-helper: the root process of an installed system. Reads its flags, holds its
 * directories, gives up what it does not need, and serves its socket until it is told to stop.
 *
 * What it launched and made goes on without it; the next start finds it in the ledger.
 */
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/build.h"
#include "base/log.h"
#include "base/text.h"
#include "helper/call.h"
#include "helper/ledger.h"
#include "helper/net.h"
#include "helper/undo.h"
#include "helper/vmms.h"
#include "proto/check.h"
#include "sys/beneath.h"
#include "sys/notify.h"
#include "sys/process.h"
#include "sys/service.h"

static const char usage_text[] =
	"usage: banger-helper --owner-uid UID [OPTION...]\n"
	"  The root half of a system install. `banger system install` sets it up.\n"
	"  --socket PATH       where it listens (/run/banger-helper/helper.sock)\n"
	"  --state-dir DIR     the owner's disks, images and kernels (/var/lib/banger)\n"
	"  --runtime-dir DIR   the owner's sockets (/run/banger)\n"
	"  --jail-base DIR     jails of machines, and the ledger (/var/lib/banger-helper)\n"
	"  --owner-uid UID     who may use it, besides root\n"
	"  --subnet CIDR       addresses of machines, prefix 16 to 30 (" SUBNET_DEFAULT ")\n"
	"  --teardown          take away all that the helper made on this host, and end\n"
	"  --version           print the version tuple\n";

struct setup {
	struct helper h;
	struct door *door;
	struct nft_watch *rules;
	const char *socket;
	bool teardown;
	struct sigwatch term, interrupt;
	struct notify notify;
	struct timer alive;
};

static int usage(int code)
{
	fputs(usage_text, code ? stderr : stdout);
	return code;
}

static bool set_path(char *out, size_t size, const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	if (path[0] != '/' || n < 2 || n >= size)
		return false;
	memcpy(out, path, n);
	out[n] = '\0';
	return check_abs_path(out, n) == NULL;
}

static bool set_subnet(struct subnet *s, const char *text)
{
	uint32_t addr;
	unsigned bits;

	if (!parse_cidr(text, strlen(text), &addr, &bits) || bits < 16 || bits > 30)
		return false;
	s->bits = bits;
	s->mask = ~0u << (32 - bits);
	s->net = addr & s->mask;
	snprintf(s->text, sizeof(s->text), "%s", text);
	return true;
}

static bool set_owner(struct helper *h, const char *text)
{
	uint64_t uid;

	if (parse_u64(text, &uid, NULL) || uid >= UINT32_MAX)
		return false;
	h->owner = (uid_t)uid;
	return true;
}

/* The owner needs no passwd entry (row F11); without one its group has its number. */
static void find_group(struct helper *h)
{
	const struct passwd *pw = getpwuid(h->owner);

	h->owner_gid = pw ? pw->pw_gid : (gid_t)h->owner;
}

enum {
	OPT_OWNER = 'o',
	OPT_SUBNET = 'n',
	OPT_SOCKET = 's',
	OPT_STATE = 'd',
	OPT_RUNTIME = 'r',
	OPT_JAILS = 'j',
	OPT_TEARDOWN = 't',
	OPT_VERSION = 'v',
	OPT_HELP = 'h'
};

static bool take_option(struct setup *s, int o, bool *owner)
{
	struct helper *h = &s->h;

	switch (o) {
	case OPT_OWNER:
		return *owner = set_owner(h, optarg);
	case OPT_SUBNET:
		return set_subnet(&h->subnet, optarg);
	case OPT_SOCKET:
		s->socket = optarg;
		return optarg[0] == '/';
	case OPT_STATE:
		return set_path(h->state_path, sizeof(h->state_path), optarg);
	case OPT_RUNTIME:
		return set_path(h->runtime_path, sizeof(h->runtime_path), optarg);
	case OPT_JAILS:
		return set_path(h->jail_path, sizeof(h->jail_path), optarg);
	case OPT_TEARDOWN:
		return s->teardown = true;
	default:
		return false;
	}
}

/* Answers -1 to go on, else the exit code. */
static int parse(struct setup *s, int argc, char **argv)
{
	static const struct option options[] = { { "owner-uid", 1, NULL, OPT_OWNER },
		{ "subnet", 1, NULL, OPT_SUBNET }, { "socket", 1, NULL, OPT_SOCKET },
		{ "state-dir", 1, NULL, OPT_STATE }, { "runtime-dir", 1, NULL, OPT_RUNTIME },
		{ "jail-base", 1, NULL, OPT_JAILS }, { "teardown", 0, NULL, OPT_TEARDOWN },
		{ "version", 0, NULL, OPT_VERSION }, { "help", 0, NULL, OPT_HELP },
		{ NULL, 0, NULL, 0 } };
	bool owner = false;
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (o == OPT_HELP)
			return usage(0);
		if (o == OPT_VERSION) {
			printf("banger-helper %s %s %llu\n", build_version, build_commit,
				(unsigned long long)build_time_ms / 1000);
			return 0;
		}
		if (o == '?')
			return usage(2);
		if (!take_option(s, o, &owner)) {
			fprintf(stderr, "banger-helper: '%s' is not valid\n", optarg);
			return usage(2);
		}
	}
	return optind < argc || !owner ? usage(2) : -1;
}

static void on_signal(void *ctx, int signal)
{
	struct setup *s = ctx;

	log_line(
		LOG_INFO, "helper", "stopping", "signal", signal == SIGTERM ? "TERM" : "INT", NULL);
	loop_stop(s->h.loop);
}

/* systemd made the socket, or we do. */
static enum err get_listener(struct setup *s, int *ret, struct why *why)
{
	*ret = service_listener();
	if (*ret >= 0)
		return OK;
	return places_listen(s->socket, s->h.owner, s->h.owner_gid, ret, why);
}

/* One helper at a time has the ledger; the lock ends with the process, however it ends. */
static enum err lock(const struct setup *s, struct why *why)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_beneath(s->h.jails, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);

	if (fd >= 0 && fcntl(fd, F_SETLK, &l) == 0)
		return OK; /* stays open */
	if (fd >= 0 && (errno == EAGAIN || errno == EACCES))
		return fail(why, ERR_busy, "another helper uses %s", s->h.jail_path);
	return fail_errno(why, "cannot lock %s", s->h.jail_path);
}

/* What a helper needs that serves nobody yet. */
static enum err open_parts(struct setup *s, struct why *why)
{
	char boot_id[37];
	enum err e = confine_early(why);

	if (!e)
		e = places_open(&s->h, why);
	if (!e)
		e = lock(s, why);
	if (!e && !host_boot_id(boot_id))
		e = fail_errno(why, "cannot read the host's boot id");
	if (!e)
		e = ledger_open(s->h.jails, boot_id, &s->h.ledger, why);
	if (!e)
		e = net_open(&s->h, why);
	return e;
}

static enum err open_all(struct setup *s, struct why *why)
{
	int listener = -1;
	enum err e = open_parts(s, why);

	if (!e)
		e = loop_new(&s->h.loop, why);
	if (!e && nft_watch_open(&s->h, &s->rules, why)) /* rules are mended at a start, too */
		log_line(LOG_WARN, "helper", "rules are not watched", "why", why->text, NULL);
	if (!e)
		e = vmms_open(&s->h, &s->h.vmms, why);
	if (!e)
		e = get_listener(s, &listener, why);
	if (!e)
		e = confine_ready(why);
	if (!e) {
		undo_mend_all(&s->h);
		e = door_open(&s->h, listener, &s->door, why);
	}
	if (e)
		fd_done(&listener);
	return e;
}

static void tell_cannot(const struct why *why)
{
	log_line(LOG_ERROR, "helper", "cannot start", "why", why->text, "hint",
		why->hint[0] ? why->hint : NULL, NULL);
}

static int teardown(struct setup *s)
{
	struct why why;
	bool all;

	if (open_parts(s, &why) || confine_ready(&why)) {
		tell_cannot(&why);
		return 1;
	}
	all = undo_everything(&s->h);
	net_close(&s->h);
	ledger_close(s->h.ledger);
	log_line(all ? LOG_INFO : LOG_ERROR, "helper",
		all ? "everything taken away" : "something stays", NULL);
	return all ? 0 : 1;
}

static void say_alive(void *ctx)
{
	struct setup *s = ctx;

	notify_send(&s->notify, "WATCHDOG=1");
	timer_start(s->h.loop, &s->alive, s->notify.watchdog_ms, say_alive, s);
}

static int serve(struct setup *s)
{
	struct why why;

	if (open_all(s, &why)) {
		tell_cannot(&why);
		return 1;
	}
	sigwatch_start(s->h.loop, &s->term, SIGTERM, on_signal, s);
	sigwatch_start(s->h.loop, &s->interrupt, SIGINT, on_signal, s);
	log_line(LOG_INFO, "helper", "ready", "version", build_version, "commit", build_commit,
		"owner", log_u64(s->h.owner).s, "subnet", s->h.subnet.text, NULL);
	notify_send(&s->notify, "READY=1");
	if (s->notify.watchdog_ms)
		say_alive(s);
	loop_run(s->h.loop);
	notify_send(&s->notify, "STOPPING=1");
	timer_stop(&s->alive);
	notify_close(&s->notify);
	door_close(s->door);
	nft_watch_close(s->rules);
	vmms_close(s->h.vmms);
	sigwatch_stop(&s->term);
	sigwatch_stop(&s->interrupt);
	net_close(&s->h);
	loop_free(s->h.loop);
	ledger_close(s->h.ledger);
	return 0;
}

int main(int argc, char **argv)
{
	static struct setup s = { .h = { .state = -1,
					  .runtime = -1,
					  .jails = -1,
					  .state_path = "/var/lib/banger",
					  .runtime_path = "/run/banger",
					  .jail_path = "/var/lib/banger-helper" },
		.socket = "/run/banger-helper/helper.sock" };
	int code, journal;

	(void)!set_subnet(&s.h.subnet, SUBNET_DEFAULT);
	code = parse(&s, argc, argv);
	if (code >= 0)
		return code;
	journal = service_journal();
	log_to(journal >= 0 ? journal : 2, LOG_INFO, journal >= 0 ? LOG_JOURNAL : LOG_TIMED);
	notify_open(&s.notify);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	find_group(&s.h);
	return s.teardown ? teardown(&s) : serve(&s);
}

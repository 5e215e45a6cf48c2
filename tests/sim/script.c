/*
 * script.c - what clients do: ask for everything there is, in any order, with names that collide,
 * cancel, leave in the middle, read slowly, and now and then send what is no letter at all.
 */
#include "tests/sim/client.h"

static const char *const names[] = { "alpha", "beta", "gamma" };
static const char *const images[] = { "debian", "debian", "debian", "alpine", "mine",
	"bundled" };
static const char *const kernels[] = { "debian", "debian", "own" };

#define ANY(s, list) ((list)[sim_roll(s, COUNT(list))])

static const char *any_vm(struct sim *s)
{
	if (s->ledger_n > 0 && sim_chance(s, 600))
		return s->ledger[sim_roll(s, s->ledger_n)].id;
	return ANY(s, names);
}

/* ---- requests ---- */

typedef void ask_fn(struct client *c);

static void ask_create(struct client *c)
{
	static const enum layer layers[] = { layer_auto, layer_auto, layer_copy, layer_reflink,
		layer_dm };
	static const char *publish[] = { "8080:80", "0.0.0.0:9090:90", "80:80", "8081:80" };
	struct sim *s = c->sim;
	struct vm_create q = { .publish = { publish, sim_chance(s, 400) ? sim_roll(s, 5) : 0 },
		.image = sim_chance(s, 200) ? ANY(s, images) : NULL,
		.kernel = sim_chance(s, 300) ? ANY(s, kernels) : NULL,
		.name = sim_chance(s, 600) ? ANY(s, names) : NULL,
		.layer = ANY(s, layers),
		.has_layer = true };

	q.has_rm = q.has_detach = q.has_start = true;
	q.rm = sim_chance(s, 250);
	q.has_offline = q.offline = sim_chance(s, 100);
	q.detach = sim_chance(s, 300);
	q.start = !sim_chance(s, 150);
	q.has_timeout_ms = sim_chance(s, 100);
	q.timeout_ms = 4000;
	q.ssh_key = sim_chance(s, 500) ? SIM_SSH_KEY : NULL;
	q.has_driver = q.has_accel = sim_chance(s, 300);
	q.has_net = q.has_driver || sim_chance(s, 150);
	q.driver = driver_firecracker;
	q.net = net_none;
	q.accel = sim_chance(s, 800) ? accel_kvm : accel_auto;
	if (sim_chance(s, 100)) {
		client_ask(c, LETTER_vm_preflight,
			&(struct vm_preflight){ .create = &q, .has_pull = true, .pull = true });
		return;
	}
	client_ask(c, LETTER_vm_create_begin, &q)->rm = q.rm;
}

static void ask_start(struct client *c)
{
	struct vm_start q = { .vm = any_vm(c->sim), .has_detach = true };

	q.detach = sim_chance(c->sim, 400);
	if (sim_chance(c->sim, 100))
		client_ask(c, LETTER_vm_preflight, &(struct vm_preflight){ .start = q.vm });
	else
		client_ask(c, LETTER_vm_start, &q);
}

static void ask_stop(struct client *c)
{
	struct vm_stop q = { .vm = any_vm(c->sim), .timeout_ms = sim_roll(c->sim, 4) * 800 };

	q.has_timeout_ms = sim_chance(c->sim, 500);
	client_ask(c, sim_chance(c->sim, 300) ? LETTER_vm_restart : LETTER_vm_stop, &q);
}

static void ask_one(struct client *c)
{
	static const enum letter_id ids[] = { LETTER_vm_kill, LETTER_vm_show, LETTER_vm_health,
		LETTER_vm_ports, LETTER_vm_stats, LETTER_vm_explain };
	struct vm_only q = { any_vm(c->sim) };

	client_ask(c, ANY(c->sim, ids), &q);
}

static void ask_set(struct client *c)
{
	struct sim *s = c->sim;
	struct vm_set q = { .vm = any_vm(s),
		.vcpus = sim_between(s, 1, 8),
		.memory = sim_between(s, 1, 4) * GiB,
		.disk = sim_between(s, 1, 40) * GiB };

	q.has_vcpus = sim_chance(s, 300);
	q.has_memory = sim_chance(s, 300);
	q.has_disk = sim_chance(s, 700);
	client_ask(c, LETTER_vm_set, &q);
}

static void ask_delete(struct client *c)
{
	struct vm_delete q = {
		.vm = any_vm(c->sim), .has_stopped = true, .stopped = sim_chance(c->sim, 150)
	};

	ledger_forget(c->sim, q.vm);
	client_ask(c, LETTER_vm_delete, &q);
}

static void ask_exec(struct client *c)
{
	static const char *argv[] = { "/bin/echo", "hello" };
	static const char *env[] = { "A=b" };
	struct vm_exec q = { .vm = any_vm(c->sim), .argv = { argv, 2 }, .env = { env, 1 } };

	q.stdin = sim_chance(c->sim, 400);
	client_ask(c, LETTER_vm_exec, &q)->stdin = q.stdin;
}

static void ask_tree(struct client *c)
{
	struct vm_put put = { .vm = any_vm(c->sim), .path = "/tmp/x" };
	struct vm_get get = { .vm = put.vm, .path = "/tmp/x" };

	if (sim_chance(c->sim, 500))
		client_ask(c, LETTER_vm_put, &put);
	else
		client_ask(c, LETTER_vm_get, &get);
}

static void ask_ssh(struct client *c)
{
	struct vm_ssh ssh = { .vm = any_vm(c->sim) };
	struct vm_dial dial = { .vm = ssh.vm, .port = 22 };

	ssh.ssh_key = sim_chance(c->sim, 500) ? SIM_SSH_KEY : NULL;
	if (sim_chance(c->sim, 500))
		client_ask(c, LETTER_vm_ssh, &ssh);
	else
		client_ask(c, LETTER_vm_dial, &dial);
}

static void ask_logs(struct client *c)
{
	struct vm_logs q = { .vm = any_vm(c->sim), .has_follow = true };

	q.follow = sim_chance(c->sim, 500);
	client_ask(c, LETTER_vm_logs, &q);
}

static void ask_wait(struct client *c)
{
	struct vm_wait q = { .vm = any_vm(c->sim), .has_until = true,
		.until = (enum wait_for)sim_roll(c->sim, wait_for_COUNT),
		.timeout_ms = sim_roll(c->sim, 30000) };

	q.has_timeout_ms = sim_chance(c->sim, 800);
	client_ask(c, LETTER_vm_wait, &q);
}

static void ask_list(struct client *c)
{
	struct vm_list vms = { .limit = 2,
		.has_limit = sim_chance(c->sim, 300),
		.has_guests = true,
		.guests = sim_chance(c->sim, 600) };
	struct doctor_look look = { .has_mend = true, .mend = sim_chance(c->sim, 500) };
	struct image_list list = { .after = NULL };
	struct nothing none;

	switch (sim_roll(c->sim, 5)) {
	case 4:
		client_ask(c, LETTER_doctor_look, &look);
		return;
	case 0:
		client_ask(c, LETTER_vm_list, &vms);
		return;
	case 1:
		client_ask(c, LETTER_image_list, &list);
		return;
	case 2:
		client_ask(c, LETTER_net_status, &none);
		return;
	default:
		client_ask(c, LETTER_kernel_list, &none);
		return;
	}
}

static void ask_cancel(struct client *c)
{
	struct client_op *o = TAILQ_LAST(&c->ops, client_ops);
	struct op_cancel q = { o ? o->op : sim_between(c->sim, 1, 9) };
	struct op_ref ref = { q.op };

	if (sim_chance(c->sim, 200)) {
		client_ask(c, LETTER_vm_create_status, &ref);
		return;
	}
	sim_mark(c->sim, MARK_cancelled);
	client_ask(c, LETTER_op_cancel, &q);
}

/* Files of the user's, which are only looked into and copied. */
static void ask_files(struct client *c)
{
	struct sim *s = c->sim;
	struct image_register q = { .name = sim_chance(s, 700) ? "mine" : ANY(s, images),
		.root = sim_chance(s, 900) ? "/root.ext4" : "/nowhere.ext4", .has_replace = true,
		.replace = sim_chance(s, 500) };
	struct image_promote promote = { .image = q.name };
	struct image_prune prune = { .has_all = true, .all = sim_chance(s, 300),
		.has_dry_run = true, .dry_run = sim_chance(s, 500) };

	if (sim_chance(s, 200))
		client_ask(c, LETTER_image_prune, &prune);
	else if (sim_chance(s, 300))
		client_ask(c, LETTER_image_promote, &promote);
	else
		client_ask(c, LETTER_image_register, &q);
}

static void ask_pull(struct client *c)
{
	static const char *const refs[] = { "sim.test/a", "sim.test/a", "sim.test/b" };
	struct sim *s = c->sim;
	struct image_pull q = { .reference = ANY(s, refs), .has_replace = true,
		.name = sim_chance(s, 400) ? ANY(s, images) : NULL };

	q.replace = sim_chance(s, 600);
	client_ask(c, LETTER_image_pull, &q);
}

static void ask_image(struct client *c)
{
	struct image_import q = { .name = ANY(c->sim, images), .has_replace = true };
	struct image_only only = { q.name };

	q.replace = sim_chance(c->sim, 600);
	if (sim_chance(c->sim, 700))
		client_ask(c, LETTER_image_import, &q);
	else if (sim_chance(c->sim, 400))
		client_ask(c, LETTER_image_export, &only);
	else
		client_ask(c, sim_chance(c->sim, 500) ? LETTER_image_delete : LETTER_image_show,
			&only);
}

static void ask_kernel(struct client *c)
{
	struct sim *s = c->sim;
	const char *name = ANY(s, kernels);
	struct kernel_pull pull = { .name = name, .has_replace = true };
	struct kernel_import import = { .name = name, .has_replace = true };
	struct kernel_only only = { name };
	struct kernel_default usual = { sim_chance(s, 500) ? name : NULL };

	pull.replace = import.replace = sim_chance(s, 400);
	pull.has_make_default = import.has_make_default = true;
	pull.make_default = import.make_default = sim_chance(s, 300);
	switch (sim_roll(s, 6)) {
	case 0:
	case 1:
		client_ask(c, LETTER_kernel_pull, &pull);
		return;
	case 2:
		client_ask(c, LETTER_kernel_import, &import);
		return;
	case 3:
		client_ask(c, LETTER_kernel_delete, &only);
		return;
	case 4:
		client_ask(c, LETTER_kernel_default, &usual);
		return;
	default:
		client_ask(c, LETTER_kernel_show, &only);
		return;
	}
}

static void ask_daemon(struct client *c)
{
	static const enum letter_id ids[] = { LETTER_ping, LETTER_daemon_status,
		LETTER_events_watch, LETTER_events_watch };
	struct nothing none;

	client_ask(c, sim_chance(c->sim, 60) ? LETTER_daemon_stop : ANY(c->sim, ids), &none);
}

static const struct {
	ask_fn *ask;
	unsigned weight;
} menu[] = {
	{ ask_create, 24 },
	{ ask_start, 8 },
	{ ask_stop, 10 },
	{ ask_one, 8 },
	{ ask_set, 5 },
	{ ask_delete, 7 },
	{ ask_exec, 12 },
	{ ask_tree, 4 },
	{ ask_ssh, 4 },
	{ ask_logs, 4 },
	{ ask_wait, 5 },
	{ ask_list, 4 },
	{ ask_cancel, 5 },
	{ ask_image, 5 },
	{ ask_pull, 5 },
	{ ask_files, 4 },
	{ ask_kernel, 5 },
	{ ask_daemon, 3 },
};

/* ---- what is no request ---- */

static void send_garbage(struct client *c)
{
	struct chan *chan = rpc_chan(c->rpc);
	struct sim *s = c->sim;

	c->rude = true;
	chan_pause(chan, false);
	if (sim_chance(s, 500)) {
		sim_mark(s, MARK_client_malformed);
		chan_write(chan, "\xc1\x93\x02", 3);
	} else { /* a frame that is never whole */
		sim_mark(s, MARK_client_stalled);
		chan_write(chan, "\x94\x00\x01\xa9vm.list", 8);
	}
	c->left = 0;
}

static void nudge_stream(struct client *c)
{
	struct client_stream *t = TAILQ_FIRST(&c->streams);
	struct stream_signal signal = { t->stream, sim_chance(c->sim, 500) ? "INT" : "KILL" };
	struct stream_resize resize = { t->stream, 24, 80 };
	struct why why;
	bool resizes = sim_chance(c->sim, 300);

	must(rpc_note(c->rpc, &letter_kinds[resizes ? LETTER_stream_resize : LETTER_stream_signal],
		     resizes ? (const void *)&resize : (const void *)&signal, &why) == OK);
}

/* ---- the script ---- */

static void ask_any(struct client *c)
{
	unsigned all = 0, at;

	for (size_t i = 0; i < COUNT(menu); i++)
		all += menu[i].weight;
	at = (unsigned)sim_roll(c->sim, all);
	for (size_t i = 0; i < COUNT(menu); i++) {
		if (at < menu[i].weight) {
			menu[i].ask(c);
			return;
		}
		at -= menu[i].weight;
	}
}

static uint64_t think(struct sim *s)
{
	return sim_chance(s, 500) ? sim_roll(s, 200) : sim_roll(s, 6000);
}

static void go_on(void *ctx, uint64_t arg UNUSED)
{
	struct client *c = ctx;
	struct sim *s = c->sim;

	if (c->slow)
		chan_pause(rpc_chan(c->rpc), sim_chance(s, 400));
	if (!s->calm && sim_chance(s, s->weather.cut)) {
		sim_mark(s, MARK_client_cut);
		client_free(c);
		return;
	}
	if (!s->calm && sim_chance(s, s->weather.malformed / 4)) {
		send_garbage(c);
		return;
	}
	if (c->left == 0 || s->operations_left == 0 || s->calm) {
		chan_pause(rpc_chan(c->rpc), false);
		if (TAILQ_EMPTY(&c->requests) || (!s->calm && sim_chance(s, 300)))
			client_free(c);
		else
			sim_after(s, 5000, go_on, c, 0);
		return;
	}
	c->left--;
	s->operations_left--;
	if (!TAILQ_EMPTY(&c->streams) && sim_chance(s, 150))
		nudge_stream(c);
	ask_any(c);
	sim_after(s, think(s), go_on, c, 0);
}

static void prepare(struct client *c)
{
	struct image_import image = { .name = "debian" };
	struct kernel_pull kernel = { .name = "debian" };

	must(node_put(c->sim, HOST, "root.ext4", GiB));
	client_ask(c, LETTER_image_import, &image);
	client_ask(c, LETTER_kernel_pull, &kernel);
}

static void another(void *ctx, uint64_t arg UNUSED)
{
	struct sim *s = ctx;
	struct client *c, *other;
	unsigned n = 0;

	if (s->operations_left == 0 || s->calm)
		return;
	TAILQ_FOREACH(other, &s->clients, entry)
		n++;
	c = n < 5 ? client_new(s) : NULL;
	if (c) {
		c->left = (unsigned)sim_between(s, 1, 16);
		c->slow = sim_chance(s, s->weather.slow);
		if (c->slow)
			sim_mark(s, MARK_client_slow);
		sim_after(s, sim_roll(s, 50), go_on, c, 0);
	}
	sim_after(s, c ? sim_roll(s, 8000) : sim_between(s, 20, 900), another, s, 0);
}

static void first(void *ctx, uint64_t arg UNUSED)
{
	struct sim *s = ctx;
	struct client *c = client_new(s);

	if (!c) {
		sim_after(s, 50, first, s, 0);
		return;
	}
	prepare(c);
	sim_after(s, s->prepared ? 8000 : 100, another, s, 0);
	sim_after(s, 20000, go_on, c, 0);
}

void script_begin(struct sim *s)
{
	s->operations_left = (unsigned)sim_between(s, 6, 50);
	sim_after(s, 1, first, s, 0);
}

bool script_over(const struct sim *s)
{
	return s->operations_left == 0;
}

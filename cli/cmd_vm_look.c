/*
 * cmd_vm_look.c - machines as seen from outside and inside: list, show, stats, health, ports.
 */
#include "base/text.h"
#include "cli/each.h"
#include "cli/json.h"
#include "cli/report.h"

enum { FILL_WARN = 80 /* percent: shown in red */ };

struct machines {
	struct vm_info **v;
	unsigned n;
};

/* Every page of vm.list. */
static enum err list_all(struct cli *c, bool guests, struct machines *m, struct why *why)
{
	struct vm_listed *page;
	struct vm_list which = { .has_guests = guests, .guests = guests };
	unsigned cap = 0;
	enum err e;

	do {
		page = arena_take(&c->mem, sizeof(*page));
		if (!page)
			return fail(why, ERR_no_memory, "no memory for the list");
		e = ask(c, LETTER_vm_list, &which, page, why);
		if (e)
			return e;
		if (m->n + page->vms.n > cap) {
			struct vm_info **v;

			cap = 2 * cap + page->vms.n;
			v = arena_take(&c->mem, cap * sizeof(struct vm_info *));
			if (!v)
				return fail(why, ERR_no_memory, "no memory for the list");
			for (unsigned i = 0; i < m->n; i++)
				v[i] = m->v[i];
			m->v = v;
		}
		for (unsigned i = 0; i < page->vms.n; i++)
			m->v[m->n++] = &page->vms.v[i];
		if (page->vms.n > 0)
			which.after = page->vms.v[page->vms.n - 1].id;
	} while (page->more && page->vms.n > 0);
	return OK;
}

static enum color color_of(enum vm_state s)
{
	switch (s) {
	case vm_state_running:
		return GREEN;
	case vm_state_failed:
		return RED;
	case vm_state_creating:
	case vm_state_starting:
	case vm_state_stopping:
	case vm_state_deleting:
		return YELLOW;
	case vm_state_stopped:
	case vm_state_COUNT:
		break;
	}
	return PLAIN;
}

/* CPU time over time since the start, of one CPU. */
static void cpu_cell(struct grid *g, const struct vm_info *vm)
{
	if (vm->has_cpu_ms && vm->has_uptime_ms && vm->uptime_ms > 0)
		grid_cell(
			g, PLAIN, "%llu%%", (unsigned long long)(vm->cpu_ms * 100 / vm->uptime_ms));
	else
		grid_cell(g, PLAIN, "-");
}

/* size 0: not known. */
static void fill_cell(struct grid *g, uint64_t size, uint64_t used)
{
	uint64_t percent = size ? used * 100 / size : 0;

	if (size)
		grid_cell(g, percent >= FILL_WARN ? RED : PLAIN, "%llu%%",
			(unsigned long long)percent);
	else
		grid_cell(g, PLAIN, "-");
}

static int list(struct cli *c)
{
	static const char *const heads[] = { "NAME", "ID", "STATE", "IMAGE", "DRIVER", "VCPUS",
		"CPU", "MEMORY", "USED", "RSS", "ROOT", "WORK", "UPTIME" };
	struct machines m = { NULL, 0 };
	struct grid g;
	struct why why;
	json_t *all;

	if (list_all(c, !c->quiet, &m, &why))
		return report(c, &why);
	if (c->json) {
		all = json_array();
		for (unsigned i = 0; i < m.n; i++)
			json_add(&all, json_of(&shape_vm_info, m.v[i]));
		json_print(c, all);
		return EXIT_DONE;
	}
	if (c->quiet) {
		for (unsigned i = 0; i < m.n; i++)
			printf("%s\n", m.v[i]->name);
		return EXIT_DONE;
	}
	grid_init(&g, c, heads, COUNT(heads));
	for (unsigned i = 0; i < m.n; i++) {
		const struct vm_info *vm = m.v[i];

		grid_cell(&g, PLAIN, "%s", vm->name);
		grid_cell(&g, PLAIN, "%s", vm->id);
		grid_cell(&g, color_of(vm->state), "%s", word_of(vm_state, vm->state));
		grid_cell(&g, PLAIN, "%s", vm->image);
		grid_cell(&g, vm->driver == driver_stub ? YELLOW : PLAIN, "%s",
			word_of(driver, vm->driver));
		grid_cell(&g, PLAIN, "%llu", (unsigned long long)vm->vcpus);
		cpu_cell(&g, vm);
		grid_size(&g, true, vm->memory);
		grid_size(&g, vm->has_guest_memory_used, vm->guest_memory_used);
		grid_size(&g, vm->has_rss, vm->rss);
		fill_cell(&g, vm->has_root_size ? vm->root_size : 0, vm->root_used);
		fill_cell(&g, vm->has_work_size ? vm->work_size : 0, vm->work_used);
		grid_duration(&g, vm->has_uptime_ms, vm->uptime_ms);
	}
	grid_print(&g);
	return EXIT_DONE;
}

const struct command cmd_vm_list = {
	.words = "vm list",
	.args = "",
	.doc = "all machines, with state, CPU, memory and disk",
	.more = "CPU is the VMM's since the start, RSS what it takes of the host; USED, ROOT and "
		"WORK are the guest's\nown view, where it answers within half a second.",
	.example = "banger vm list\nbanger vm list -q\nbanger vm list --json | jq '.[].name'",
	.run = list,
};

static void show_one(struct cli *c, const struct vm_shown *s)
{
	char text[40];

	line_text(c, "name", "%s", s->vm.name);
	line_text(c, "id", "%s", s->vm.id);
	line_text(c, "state", "%s%s%s", word_of(vm_state, s->vm.state), s->vm.reason ? ", " : "",
		s->vm.reason ? s->vm.reason : "");
	line_text(c, "image", "%s", s->vm.image);
	line_text(c, "kernel", "%s", s->vm.kernel);
	line_text(
		c, "driver", "%s (%s)", word_of(driver, s->vm.driver), word_of(accel, s->vm.accel));
	line_text(c, "network", "%s%s%s", word_of(net, s->vm.net), s->address ? ", " : "",
		s->address ? s->address : "");
	if (s->host_address)
		line_text(
			c, "reached at", "%s, as %s.vm while it runs", s->host_address, s->vm.name);
	line_text(c, "layer", "%s", word_of(layer, s->vm.layer));
	line_text(c, "vcpus", "%llu", (unsigned long long)s->vm.vcpus);
	show_size(text, sizeof(text), s->vm.memory);
	line_text(c, "memory", "%s", text);
	show_size(text, sizeof(text), s->vm.disk);
	line_text(c, "disk", "%s", text);
	if (s->vm.has_next_vcpus)
		line_text(c, "next vcpus", "%llu, from its next start on",
			(unsigned long long)s->vm.next_vcpus);
	if (s->vm.has_next_memory) {
		show_size(text, sizeof(text), s->vm.next_memory);
		line_text(c, "next memory", "%s, from its next start on", text);
	}
	if (s->vm.has_next_disk) {
		show_size(text, sizeof(text), s->vm.next_disk);
		line_text(c, "next disk", "%s, from its next start on", text);
	}
	if (s->vm.has_cow_used && s->vm.cow_size)
		line_text(c, "root fill", "%llu%%",
			(unsigned long long)(s->vm.cow_used * 100 / s->vm.cow_size));
	show_time(text, sizeof(text), s->vm.created);
	line_text(c, "created", "%s", text);
	if (s->vm.has_uptime_ms) {
		show_duration(text, sizeof(text), s->vm.uptime_ms);
		line_text(c, "uptime", "%s", text);
	}
	if (s->vm.has_pid)
		line_text(c, "pid", "%llu", (unsigned long long)s->vm.pid);
	if (s->agent)
		line_text(c, "agent", "%s (%s)%s%s", s->agent->version, s->agent->commit,
			s->has_link ? " over " : "",
			s->has_link ? word_of(link_kind, s->link) : "");
	for (uint32_t i = 0; i < s->forwards.n; i++)
		line_text(c, i ? "" : "forwards", "%s:%llu to port %llu%s",
			s->forwards.v[i].address, (unsigned long long)s->forwards.v[i].port,
			(unsigned long long)s->forwards.v[i].guest,
			s->forwards.v[i].up ? "" : " (not now)");
	if (s->dir)
		line_text(c, "files", "%s", s->dir);
	for (uint32_t i = 0; i < s->boot.n; i++) {
		show_duration(text, sizeof(text), s->boot.v[i].ms);
		line_text(c, i ? "" : "boot", "%-10s %8s", s->boot.v[i].stage, text);
	}
}

static int show(struct cli *c)
{
	struct each s;
	int code = each_ask(&s, c, LETTER_vm_show, "vm");
	bool first = true;

	if (code)
		return code;
	if (c->json)
		return each_json(&s, NULL);
	for (unsigned i = 0; i < s.n; i++) {
		if (!each_good(&s, i))
			continue;
		if (!first)
			putchar('\n');
		first = false;
		show_one(c, each_result(&s, i));
	}
	return each_failures(&s);
}

const struct command cmd_vm_show = {
	.words = "vm show",
	.args = "NAME...",
	.least = 1,
	.most = UINT32_MAX,
	.offer = OFFER_VMS,
	.doc = "everything about machines",
	.example = "banger vm show web\nbanger vm show --json web | jq .vm.state",
	.run = show,
};

static void stats_row(struct grid *g, const struct vm_stats *s)
{
	const struct guest_stats *in = s->guest;

	grid_cell(g, PLAIN, "%s", s->vm.name);
	cpu_cell(g, &s->vm);
	if (in)
		grid_cell(g, PLAIN, "%llu.%02llu", (unsigned long long)(in->load_milli / 1000),
			(unsigned long long)(in->load_milli % 1000 / 10));
	else
		grid_cell(g, PLAIN, "-");
	grid_size(g, true, in ? in->memory : s->vm.memory);
	grid_size(g, in != NULL, in ? in->memory_used : 0);
	grid_size(g, s->vm.has_rss, s->vm.rss);
	grid_size(g, s->vm.has_disk_used, s->vm.disk_used);
	fill_cell(g, in && in->disks.n > 0 ? in->disks.v[0].size : 0,
		in && in->disks.n > 0 ? in->disks.v[0].used : 0);
	fill_cell(g, s->vm.has_cow_size ? s->vm.cow_size : 0, s->vm.cow_used);
	fill_cell(g, in && in->disks.n > 1 ? in->disks.v[1].size : 0,
		in && in->disks.n > 1 ? in->disks.v[1].used : 0);
	grid_duration(g, s->vm.has_uptime_ms, s->vm.uptime_ms);
}

/* The names of all machines, when none was given. */
static enum err all_names(struct cli *c, const char *const **names, unsigned *n, struct why *why)
{
	struct machines m = { NULL, 0 };
	const char **v;
	enum err e = list_all(c, false, &m, why);

	if (e)
		return e;
	v = arena_take(&c->mem, MAX(m.n, 1u) * sizeof(*v));
	if (!v)
		return fail(why, ERR_no_memory, "no memory for the list");
	for (unsigned i = 0; i < m.n; i++)
		v[i] = m.v[i]->name;
	*names = v;
	*n = m.n;
	return OK;
}

static int stats(struct cli *c)
{
	static const char *const heads[] = { "NAME", "CPU", "LOAD", "MEMORY", "USED", "RSS", "DISK",
		"ROOT", "COW", "WORK", "UPTIME" };
	const char *const *names = c->args;
	unsigned n = c->args_n;
	struct each s;
	struct grid g;
	struct why why;
	json_t *all;
	int code;

	if (n == 0 && all_names(c, &names, &n, &why))
		return report(c, &why);
	code = each_ask_names(&s, c, LETTER_vm_stats, "vm", names, n);
	if (code)
		return code;
	if (c->json && c->args_n > 0)
		return each_json(&s, NULL);
	if (c->json) {
		all = json_array();
		for (unsigned i = 0; i < n; i++)
			if (each_good(&s, i))
				json_add(&all, json_of(&shape_vm_stats, each_result(&s, i)));
		json_print(c, all);
		return EXIT_DONE;
	}
	grid_init(&g, c, heads, COUNT(heads));
	for (unsigned i = 0; i < n; i++)
		if (each_good(&s, i))
			stats_row(&g, each_result(&s, i));
	grid_print(&g);
	return each_failures(&s);
}

const struct command cmd_vm_stats = {
	.words = "vm stats",
	.args = "[NAME...]",
	.most = UINT32_MAX,
	.offer = OFFER_VMS,
	.doc = "CPU, memory and disks of machines; of all when none is named",
	.more = "CPU is the VMM's since the start; MEMORY, USED, LOAD, ROOT and WORK are the "
		"guest's own view; RSS\nand DISK are what the host spends, COW the room for "
		"changes to the root disk (layer dm).",
	.example = "banger vm stats\nbanger vm stats --json web | jq .guest.memory_used",
	.run = stats,
};

static int health(struct cli *c)
{
	static const char *const heads[] = { "NAME", "OK", "INIT", "MOUNTED", "SESSIONS",
		"PROCESSES", "LOAD", "KERNEL", "AGENT", "UPTIME" };
	struct each s;
	struct grid g;
	int code = each_ask(&s, c, LETTER_vm_health, "vm"), bad = EXIT_DONE;

	if (code)
		return code;
	for (unsigned i = 0; i < s.n; i++)
		if (each_good(&s, i) && !((struct vm_health *)each_result(&s, i))->ok)
			bad = EXIT_REFUSED;
	if (c->json) {
		code = each_json(&s, NULL);
		return code ? code : bad;
	}
	grid_init(&g, c, heads, COUNT(heads));
	for (unsigned i = 0; i < s.n; i++) {
		const struct vm_health *h = each_result(&s, i);

		if (!each_good(&s, i))
			continue;
		grid_cell(&g, PLAIN, "%s", s.names[i]);
		grid_cell(&g, h->ok ? GREEN : RED, h->ok ? "yes" : "no");
		grid_cell(&g, PLAIN, "%s", word_of(init_kind, h->init));
		grid_cell(&g, PLAIN, h->mounted ? "yes" : "no");
		grid_cell(&g, PLAIN, "%llu", (unsigned long long)h->sessions);
		grid_cell(&g, PLAIN, "%llu", (unsigned long long)h->processes);
		grid_cell(&g, PLAIN, "%llu.%02llu", (unsigned long long)(h->load_milli / 1000),
			(unsigned long long)(h->load_milli % 1000 / 10));
		grid_cell(&g, PLAIN, "%s", h->kernel);
		grid_cell(&g, PLAIN, "%s", h->agent.version);
		grid_duration(&g, true, h->uptime_ms);
	}
	grid_print(&g);
	code = each_failures(&s);
	return code ? code : bad;
}

const struct command cmd_vm_health = {
	.words = "vm health",
	.args = "NAME...",
	.least = 1,
	.most = UINT32_MAX,
	.offer = OFFER_VMS,
	.doc = "ask the agents of machines how their guests fare",
	.more = "Exit code 0 when all are well.",
	.example = "banger vm health web",
	.run = health,
};

static int ports(struct cli *c)
{
	static const char *const heads[] = { "NAME", "PROTO", "ADDRESS", "PORT", "PID", "PROCESS",
		"URL" };
	struct each s;
	struct grid g;
	int code = each_ask(&s, c, LETTER_vm_ports, "vm");

	if (code)
		return code;
	if (c->json)
		return each_json(&s, "ports");
	grid_init(&g, c, heads, COUNT(heads));
	for (unsigned i = 0; i < s.n; i++) {
		const struct vm_ports *p = each_result(&s, i);

		for (uint32_t k = 0; each_good(&s, i) && k < p->ports.n; k++) {
			const struct vm_port *port = &p->ports.v[k];

			grid_cell(&g, PLAIN, "%s", s.names[i]);
			grid_cell(&g, PLAIN, "%s", port->proto);
			grid_cell(&g, PLAIN, "%s", port->address);
			grid_cell(&g, PLAIN, "%llu", (unsigned long long)port->port);
			grid_cell(&g, PLAIN, port->has_pid ? "%llu" : "-",
				(unsigned long long)port->pid);
			grid_cell(&g, PLAIN, "%s", port->process ? port->process : "");
			grid_cell(&g, PLAIN, "%s", port->url ? port->url : "");
		}
	}
	grid_print(&g);
	return each_failures(&s);
}

const struct command cmd_vm_ports = {
	.words = "vm ports",
	.args = "NAME...",
	.least = 1,
	.most = UINT32_MAX,
	.offer = OFFER_VMS,
	.doc = "listening sockets in guests",
	.example = "banger vm ports web",
	.run = ports,
};

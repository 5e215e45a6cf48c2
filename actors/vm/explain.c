/*
 * explain.c - vm.explain: every resource of the host that belongs to a machine, with who made it
 * and why it lives, and whether it is there now (row B9).
 *
 * What the daemon made it knows; the rest the root helper's ledger tells. Nothing is remembered
 * for this: each answer is looked up on the host.
 */
#include "actors/vm/forwards.h"
#include "actors/vm/vm.h"
#include "base/log.h"
#include "base/text.h"

enum { RESOURCES_MAX = 256, LEDGER_MS = 15000, GROUP_BYTES = 1024 };

struct telling {
	struct machine *m;
	struct arena mem;
	struct resource v[RESOURCES_MAX];
	uint32_t n;
	enum area area; /* while files are listed */
	const char *dir;
};

static struct resource *add(
	struct telling *t, const char *kind, const char *name, const char *maker, const char *why)
{
	struct resource *r = &t->v[t->n];

	if (t->n == RESOURCES_MAX || !name)
		return NULL;
	*r = (struct resource){
		.kind = kind, .name = name, .maker = maker, .why = why, .there = true
	};
	t->n++;
	return r;
}

/* ---- what the daemon keeps ---- */

static void add_records(struct telling *t)
{
	struct machine *m = t->m;
	struct resource *r = add(t, "record", arena_fmt(&t->mem, "vm/%s", m->id), "bangerd",
		"the machine itself: until it is deleted");

	if (r) {
		r->has_made = true;
		r->made = m->r.created;
	}
	if (flow_active(&m->flow) || m->on_probation) {
		r = add(t, "journal", arena_fmt(&t->mem, "flow/vm-%s", m->id), "bangerd",
			"an operation is under way: until it has ended or is undone");
		if (r)
			r->detail = arena_fmt(&t->mem, "%s, step %s", m->flow.kind->name,
				flow_step_name(&m->flow));
	}
	if (m->r.image_id) {
		r = add(t, "image", arena_fmt(&t->mem, "%s (%s)", m->image, m->r.image_id),
			"bangerd", "its disks stand on it: it is kept as long as the machine is");
		if (r && m->root_file)
			r->detail = m->root_file;
	}
	if (m->r.kernel_id)
		add(t, "kernel", arena_fmt(&t->mem, "%s (%s)", m->kernel, m->r.kernel_id),
			"bangerd", "it boots from it: kept as long as the machine is");
}

/* ---- files ---- */

static const char *file_kind(const char *name, const char **why)
{
	static const struct {
		const char *begins, *kind, *why;
	} rows[] = {
		{ "root.", "disk", "its root disk's changes: until it is deleted" },
		{ "work.", "disk", "its work disk: until it is deleted" },
		{ "console.log", "log", "what its console printed: until it is deleted" },
		{ "console", "socket", "its console's way to the daemon: while it runs" },
		{ "qmp", "socket", "its VMM is controlled here: while it runs" },
		{ "agent", "socket", "its agent is reached here: while it runs" },
		{ "api", "socket", "its VMM is controlled here: while it runs" },
		{ "vsock", "socket", "its agent is reached here: while it runs" },
		{ "vmm", "log", "what its VMM said: until it is deleted" },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		if (strncmp(name, rows[i].begins, strlen(rows[i].begins)) == 0) {
			*why = rows[i].why;
			return rows[i].kind;
		}
	*why = "in its directory: until it is deleted";
	return "file";
}

static void add_file(void *ctx, const char *name)
{
	struct telling *t = ctx;
	uint64_t size, used;
	const char *why, *kind = file_kind(name, &why);
	char path[300];
	struct resource *r =
		add(t, kind, arena_fmt(&t->mem, "%s/%s", t->dir, name), "bangerd", why);

	snprintf(path, sizeof(path), "vm/%s/%s", t->m->id, name);
	if (!r || world_size(t->m->v->world, t->area, path, &size, &used, NULL))
		return;
	r->has_bytes = true;
	r->bytes = used;
	if (size != used && str_eq(kind, "disk"))
		r->detail = arena_fmt(&t->mem, "layer %s, %llu bytes as it is read",
			word_of(layer, t->m->r.layer), (unsigned long long)size);
}

static void add_files(struct telling *t)
{
	static const char *const whys[] = {
		[STATE] = "its disks and logs: until it is deleted",
		[RUNTIME] = "its sockets: while it runs",
	};
	const struct env *env = t->m->v->env;
	uint64_t size, used;
	char dir[64];
	struct resource *r;
	struct why why;

	machine_dir(t->m, dir, sizeof(dir), "");
	for (t->area = STATE; t->area <= RUNTIME; t->area++) {
		bool there = world_size(t->m->v->world, t->area, dir, &size, &used, NULL) == OK;

		if (t->area == RUNTIME && !there && !t->m->child)
			continue;
		t->dir = arena_fmt(&t->mem, "%s/vm/%s",
			t->area == STATE ? env->state_dir : env->runtime_dir, t->m->id);
		r = add(t, "directory", t->dir, "bangerd", whys[t->area]);
		if (r)
			r->there = there;
		if (r && there && world_list(t->m->v->world, t->area, dir, add_file, t, &why) != OK)
			r->detail = arena_str(&t->mem, why.text);
	}
}

/* ---- the process ---- */

/* The group that the process is in, as the host says: "0::/banger.slice/...". */
static void add_group(struct telling *t, pid_t pid)
{
	own_buf text = { .max = GROUP_BYTES };
	char path[40];
	const char *at, *end;
	bool scope;

	snprintf(path, sizeof(path), "proc/%d/cgroup", (int)pid);
	if (world_read(t->m->v->world, HOST, path, GROUP_BYTES, &text, NULL))
		return;
	at = strstr(buf_cstr(&text), "0::/");
	if (!at)
		return;
	at += strlen("0::");
	end = strchr(at, '\n');
	scope = strstr(at, ".scope") != NULL;
	add(t, scope ? "scope" : "cgroup",
		arena_strn(&t->mem, at, end ? (size_t)(end - at) : strlen(at)),
		scope ? "systemd" : "bangerd", "its process is in it: while it runs");
}

static void add_process(struct telling *t)
{
	struct machine *m = t->m;
	struct resource *r;
	uint64_t rss, cpu;

	if (!m->child && !m->r.has_pid)
		return;
	r = add(t, "process",
		arena_fmt(&t->mem, "%llu",
			m->child ? (unsigned long long)child_pid(m->child) :
				   (unsigned long long)m->r.pid),
		vmm_by_helper(m->v) ? "banger-helper" : "bangerd",
		"its VMM: until it is stopped, or its guest ends");
	if (!r)
		return;
	r->there = m->child != NULL;
	r->has_made = m->r.has_started;
	r->made = m->r.started;
	if (m->child)
		r->detail = arena_fmt(&t->mem, "%s by %s, start time %llu, console %llu bytes",
			m->driver->name, word_of(accel, m->r.accel),
			(unsigned long long)child_start(m->child),
			(unsigned long long)m->console.total);
	if (m->child && child_usage(m->child, &rss, &cpu)) {
		r->has_bytes = true;
		r->bytes = rss;
	}
	if (m->child && !vmm_by_helper(m->v))
		add(t, "uid", arena_fmt(&t->mem, "%u", (unsigned)world_plain_uid(m->v->world)),
			"bangerd", "its VMM runs as it: while it runs");
	if (m->child)
		add_group(t, child_pid(m->child));
	if (m->r.has_cid)
		add(t, "cid", arena_fmt(&t->mem, "%llu", (unsigned long long)m->r.cid), "bangerd",
			"its vsock context: until it is deleted");
}

/* ---- network and names ---- */

static void add_names(struct telling *t)
{
	struct machine *m = t->m;
	bool leased = machine_leases(m);
	struct resource *r;

	if (m->r.address)
		add(t, "address", m->address, "bangerd",
			leased ? "its lease (record lease/ID): until it is deleted" :
				 "its own on this host's loopback: until it is deleted");
	r = add(t, "name", arena_fmt(&t->mem, "%s.vm", m->name), "bangerd",
		"the responder leads to its address: while it runs");
	if (!r)
		return;
	r->there = m->named;
	if (m->named)
		r->detail =
			arena_fmt(&t->mem, "%s at %s", m->address, m->v->env->config->dns_listen);
}

static void add_forwards(struct telling *t)
{
	struct vm_forward *v;
	uint32_t n = forwards_show(t->m, &t->mem, &v);

	for (uint32_t i = 0; i < n; i++) {
		struct resource *r = add(t, "forward",
			arena_fmt(&t->mem, "%s:%llu", v[i].address, (unsigned long long)v[i].port),
			"bangerd", "leads to a port of its guest: while it runs");

		if (!r)
			return;
		r->there = v[i].up;
		r->detail = arena_fmt(&t->mem, "port %llu of the guest, %u connections in all",
			(unsigned long long)v[i].guest, t->m->passages_n);
	}
}

static void add_clients(struct telling *t)
{
	const struct machine *m = t->m;

	if (m->sessions_n > 0)
		add(t, "streams", arena_fmt(&t->mem, "%u", m->sessions_n), "bangerd",
			"clients run programs or copy in it: until these end");
	if (m->owner)
		add(t, "owner", arena_fmt(&t->mem, "client %llu", (unsigned long long)m->owner),
			"bangerd", "it is deleted when this connection closes (--rm)");
}

/* ---- the helper's ledger ---- */

static const char *const thing_whys[priv_thing_COUNT] = {
	[priv_thing_bridge] = "machines stand on it: until an uninstall",
	[priv_thing_tap] = "its card's end on this host: until it is deleted",
	[priv_thing_nat] = "lets it out, and binds its address to its tap: until it is deleted",
	[priv_thing_loop] = "its snapshot stands on it: until that is removed",
	[priv_thing_dm] = "its root disk: until it is deleted",
	[priv_thing_jail] = "its VMM lives in it: until that has ended",
	[priv_thing_vmm] = "its VMM, as the helper knows it: until it has ended",
	[priv_thing_resolver] = "names under .vm are asked for here: until an uninstall",
	[priv_thing_forward] = "the host forwards packets: until an uninstall",
};

static const char *thing_detail(struct telling *t, const struct priv_entry *e)
{
	struct buf b;
	const char *text;

	buf_init(&b, 4 * KiB);
	buf_str(&b, "ledger:");
	if (e->has_number && e->number)
		buf_fmt(&b, " number %llu", (unsigned long long)e->number);
	if (e->has_pid)
		buf_fmt(&b, " pid %llu start %llu", (unsigned long long)e->pid,
			(unsigned long long)e->start);
	if (e->has_uid)
		buf_fmt(&b, " uid %llu", (unsigned long long)e->uid);
	if (e->detail)
		buf_fmt(&b, " %s", e->detail);
	text = b.n > strlen("ledger:") ? arena_str(&t->mem, buf_cstr(&b)) : "ledger";
	buf_done(&b);
	return text;
}

static void add_things(struct telling *t, const struct priv_listed *l)
{
	for (uint32_t i = 0; i < l->things.n; i++) {
		const struct priv_entry *e = &l->things.v[i].entry;
		struct resource *r = add(t, word_of(priv_thing, e->kind), e->name, "banger-helper",
			thing_whys[e->kind]);

		if (!r)
			return;
		r->there = l->things.v[i].there;
		r->has_made = true;
		r->made = e->made;
		r->detail = thing_detail(t, e);
	}
}

/* ---- the answer ---- */

static void tell_all(struct machine *m, struct reply_to reply, const struct priv_listed *things,
	const struct why *why)
{
	struct telling *t = calloc(1, sizeof(*t));
	struct vm_explained x = { .helper_why = why ? why->text : NULL };
	struct why bad;

	if (!t) {
		fail(&bad, ERR_no_memory, "no memory to explain a machine");
		refuse(m->v->me, reply, &bad);
		return;
	}
	t->m = m;
	t->mem = (struct arena){ .max = MiB };
	machine_info(m, true, &x.vm);
	add_records(t);
	add_files(t);
	add_process(t);
	add_names(t);
	add_forwards(t);
	add_clients(t);
	if (things)
		add_things(t, things);
	x.resources.v = t->v;
	x.resources.n = t->n;
	answer(m->v->me, reply, &x);
	arena_done(&t->mem);
	free(t);
}

/* Who waits while the helper looks: a few at once, kept in the actor's state. */
static void listed(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct vmd *v = state;
	struct explaining e = v->explains[ctx];
	struct machine *m = machine_by_serial(v, e.serial);
	struct why gone;

	v->explains[ctx].serial = 0;
	if (m) {
		tell_all(m, e.reply, why ? NULL : result, why);
		return;
	}
	fail_field(&gone, ERR_not_found, "vm", "the machine was deleted meanwhile");
	refuse(v->me, e.reply, &gone);
}

static void ask_helper(struct machine *m, struct reply_to reply)
{
	struct priv_things things = { .vm = m->id };
	struct vmd *v = m->v;
	struct why why;

	for (unsigned i = 0; i < EXPLAINS_MAX; i++) {
		if (v->explains[i].serial != 0)
			continue;
		v->explains[i] = (struct explaining){ reply, m->serial };
		ask(v->me, LETTER_priv_list_things, &things, LEDGER_MS, listed, i);
		return;
	}
	fail(&why, ERR_busy, "%d machines are being explained", EXPLAINS_MAX);
	refuse(v->me, reply, &why);
}

void vm_on_explain(void *state, const struct letter *l, const void *body)
{
	const struct vm_explain *q = body;
	struct vmd *v = state;
	struct machine *m = machine_find(v, q->vm);
	struct why why;

	if (!m) {
		fail_field(&why, ERR_not_found, "vm", "no machine '%s'", q->vm);
		fail_hint(&why, "`banger vm list` shows the machines");
		refuse(v->me, l->reply, &why);
	} else if (v->env->mode == mode_user) {
		tell_all(m, l->reply, NULL, NULL);
	} else {
		ask_helper(m, l->reply);
	}
}

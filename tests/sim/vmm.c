/*
 * vmm.c - a simulated VMM, QEMU or Firecracker: its control, agent and console sockets, each for
 * one connection at a time, and its end. What Firecracker is asked over HTTP is in firecracker.c.
 */
#include "tests/sim/guest.h"

enum socket_kind { CONTROL, AGENT, CONSOLE, SOCKET_KINDS };

enum { KEPT_BYTES = 4096 };

static const char *const leaves[2][SOCKET_KINDS] = {
	{ "/qmp.sock", "/agent.sock", "/console.sock" },
	{ "/api.sock", "/v.sock", "/console" }, /* Firecracker's */
};

struct line_user { /* one connected socket */
	struct sim_vmm *v;
	enum socket_kind kind;
	struct chan *chan;
};

struct sim_vmm {
	struct proc *p;
	struct line_user lines[SOCKET_KINDS];
	bool capable; /* the monitor was greeted */
	bool firecracker;
	char kept[KEPT_BYTES]; /* its console, while nobody reads */
	size_t kept_n;
	struct guest *guest;
	char id[16];
};

const char *vmm_id(const struct proc *p)
{
	return p->vmm->id;
}

struct guest *vmm_guest(struct proc *p)
{
	return p->vmm->guest;
}

static void hang_up(struct line_user *l)
{
	struct chan *c = l->chan;

	l->chan = NULL;
	if (l->kind == CONTROL)
		l->v->capable = false;
	chan_close(c);
}

static struct proc_socket *socket_of(struct sim_vmm *v, enum socket_kind kind)
{
	for (unsigned i = 0; i < v->p->sockets_n; i++)
		if (strstr(v->p->sockets[i].path, leaves[v->firecracker][kind]))
			return &v->p->sockets[i];
	return NULL;
}

static void line_closed(void *ctx, const struct why *why UNUSED)
{
	struct line_user *l = ctx;
	struct proc_socket *at = socket_of(l->v, l->kind);

	hang_up(l);
	if (at && at->waiting)
		vmm_connected(l->v->p, at);
}

static size_t ignore(void *ctx UNUSED, const uint8_t *p UNUSED, size_t n)
{
	return n;
}

static size_t monitor_line(void *ctx, const uint8_t *p, size_t n)
{
	static const char plain[] = "{\"return\": {}}\r\n";
	static const char grew[] = "{\"return\": {}, \"id\": \"grow\"}\r\n";
	static const char grew_not[] = "{\"error\": {}, \"id\": \"grow\"}\r\n";
	struct line_user *l = ctx;
	struct sim *s = l->v->p->sim;
	const char *reply = plain;
	const uint8_t *end = memchr(p, '\n', n);

	if (!end)
		return 0;
	if (memmem(p, (size_t)(end - p), "qmp_capabilities", 16))
		l->v->capable = true;
	if (memmem(p, (size_t)(end - p), "block_resize", 12))
		reply = sim_chance(s, s->weather.lost) ? grew_not : grew;
	chan_write(l->chan, reply, strlen(reply));
	return (size_t)(end - p) + 1;
}

/* Firecracker's line before a stream; nobody listens in a guest that is not up. */
static size_t take_line(void *ctx, const uint8_t *p, size_t n)
{
	static const char want[] = "CONNECT 1024\n";
	struct line_user *l = ctx;
	struct chan *c = l->chan;

	if (n < sizeof(want) - 1)
		return 0;
	if (memcmp(p, want, sizeof(want) - 1) != 0)
		sim_fail(l->v->p->sim, "a vsock stream begins with %.*s", (int)n, (const char *)p);
	if (!guest_is_up(l->v->guest)) {
		line_closed(l, NULL);
		return n;
	}
	l->chan = NULL;
	chan_write(c, "OK 1073741824\n", 14);
	guest_connected(l->v->guest, c);
	return sizeof(want) - 1;
}

static const struct chan_user line_user = { take_line, NULL, line_closed };
static const struct chan_user monitor_user = { monitor_line, NULL, line_closed };
static const struct chan_user console_user = { ignore, NULL, line_closed };

void vmm_connected(struct proc *p, struct proc_socket *at)
{
	static const char greeting[] =
		"{\"QMP\": {\"version\": {\"qemu\": "
		"{\"micro\": 0, \"minor\": 2, \"major\": 7}}}}\r\n";
	struct sim_vmm *v = p->vmm;
	enum socket_kind kind = CONTROL;
	struct line_user *l;
	struct chan *c;

	while (kind < SOCKET_KINDS && !strstr(at->path, leaves[v->firecracker][kind]))
		kind++;
	must(kind < SOCKET_KINDS);
	l = &v->lines[kind];
	if (!at->waiting || l->chan || (kind == AGENT && guest_is_connected(v->guest)))
		return; /* it waits until the one before has gone */
	c = take_ptr(&at->waiting);
	if (kind == AGENT && !v->firecracker) {
		guest_connected(v->guest, c);
		return;
	}
	l->chan = c;
	chan_user_set(c,
		kind == AGENT   ? &line_user :
		kind == CONTROL ? &monitor_user :
				  &console_user,
		l);
	chan_pause(c, false);
	if (kind == CONSOLE && v->kept_n)
		chan_write(c, v->kept, v->kept_n);
	if (kind == CONSOLE)
		v->kept_n = 0;
	if (kind == CONTROL)
		chan_write(c, greeting, sizeof(greeting) - 1);
}

void vmm_agent_free(struct proc *p)
{
	struct proc_socket *at = socket_of(p->vmm, AGENT);

	if (at && at->waiting)
		vmm_connected(p, at);
}

void vmm_console(struct proc *p, const char *text)
{
	struct chan *c = p->vmm->lines[CONSOLE].chan;

	if (c && chan_pending(c) < 65536)
		chan_write(c, text, strlen(text));
	else if (!c && p->vmm->firecracker && p->vmm->kept_n + strlen(text) <= KEPT_BYTES) {
		memcpy(p->vmm->kept + p->vmm->kept_n, text, strlen(text));
		p->vmm->kept_n += strlen(text);
	}
}

static void tell_event(struct sim_vmm *v, const char *name, const char *data)
{
	struct chan *c = v->lines[CONTROL].chan;
	char line[256];
	int n = snprintf(line, sizeof(line), "{\"event\": \"%s\", \"data\": {%s}}\r\n", name, data);

	if (v->capable && c)
		chan_write(c, line, (size_t)n);
}

void vmm_port_event(struct proc *p, bool open)
{
	tell_event(p->vmm, "VSERPORT_CHANGE",
		open ? "\"open\": true, \"id\": \"p\"" : "\"open\": false, \"id\": \"p\"");
}

bool vmm_is_firecracker(const struct proc *p)
{
	return p->vmm->firecracker;
}

void vmm_shutdown_event(struct proc *p, bool reboot)
{
	if (p->vmm->firecracker) {
		vmm_console(p, reboot ? "[    9.9] reboot: Restarting system\r\n" :
					"[    9.9] reboot: Power down\r\n");
		return;
	}
	tell_event(p->vmm, "SHUTDOWN",
		reboot ? "\"guest\": true, \"reason\": \"guest-reset\"" :
			 "\"guest\": true, \"reason\": \"guest-shutdown\"");
}

void vmm_begin(struct proc *p)
{
	struct sim *s = p->sim;
	struct sim_vmm *v = calloc(1, sizeof(*v));
	const char *name = strstr(p->command, "banger-");

	must(v && name);
	v->p = p;
	p->vmm = v;
	v->firecracker = strstr(p->command, "--api-sock") != NULL;
	for (int i = 0; i < SOCKET_KINDS; i++)
		v->lines[i] = (struct line_user){ v, (enum socket_kind)i, NULL };
	snprintf(v->id, sizeof(v->id), "%.*s", (int)strcspn(name + 7, " "), name + 7);
	v->guest = guest_new(p);
	if (!s->calm && sim_chance(s, s->weather.stillborn)) {
		sim_mark(s, MARK_vmm_stillborn);
		proc_exit_later(p, sim_roll(s, 60), 1);
		return;
	}
	if (v->firecracker)
		firecracker_begin(p);
	else
		guest_boot(v->guest);
}

void vmm_end(struct proc *p)
{
	struct sim_vmm *v = p->vmm;

	guest_free(v->guest);
	for (int i = 0; i < SOCKET_KINDS; i++)
		hang_up(&v->lines[i]);
	free(v);
	p->vmm = NULL;
}

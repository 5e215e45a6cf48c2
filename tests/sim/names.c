/*
 * names.c - somebody asks the responder, all the time: on datagrams whether a name leads to a
 * machine that runs, on connections whether what is asked is answered, and garbage on both.
 *
 * A name may be answered for as long as the end of its machine's process was not told to the
 * daemon, and not one turn longer.
 */
#include "tests/sim/sim.h"
#include "tests/lib/dns_look.h"

enum { TELL_MS = 4 /* a process's end reaches the daemon within */ };

static const char *const asked[NAMES_ASKED] = { "alpha", "beta", "gamma" };

struct asker { /* a connection */
	TAILQ_ENTRY(asker) entry;
	struct sim *s;
	struct chan *chan;
	uint8_t query[512];
	size_t query_n;
	unsigned due; /* answers */
};

/* ---- datagrams ---- */

/* The answer to a question of that type; false: nobody answers. */
static bool ask_name(struct sim *s, const char *name, unsigned type, struct dns_seen *seen)
{
	uint8_t query[512], out[DATAGRAM_OUT_MAX];
	size_t n = dns_ask(query, name, type, 1232), answer;
	const char *why;

	answer = host_datagram(s, (struct bytes){ query, n }, out);
	if (answer == 0)
		return false;
	why = dns_look((struct bytes){ query, n }, (struct bytes){ out, answer }, seen);
	if (why)
		sim_fail(s, "the answer about %s cannot be read: %s", name, why);
	return true;
}

static bool leads_somewhere(struct sim *s, const char *name, struct dns_seen *seen)
{
	char full[80];

	snprintf(full, sizeof(full), "%s.vm", name);
	return ask_name(s, full, DNS_A, seen) && seen->answers == 1;
}

/* The name of the machine that a process runs: its record was there before it. */
static const char *name_of_proc(struct sim *s, struct proc *p)
{
	struct arena a = { .max = MiB };
	const struct row *row;
	struct vm_record r;
	char key[64];

	if (p->name[0])
		return p->name;
	snprintf(key, sizeof(key), "vm/%s", vmm_id(p));
	row = store_get(s, key);
	if (row && shape_read(&shape_vm_record, mp_over(row->value, row->n), STRICT, &a, &r,
			   NULL) == OK)
		str_copy(p->name, sizeof(p->name), r.name);
	arena_done(&a);
	return p->name;
}

static bool runs(struct sim *s, const char *name)
{
	struct proc *p;

	TAILQ_FOREACH(p, &s->procs, entry)
		if (p->kind == PROC_VMM && str_eq(name_of_proc(s, p), name))
			return true;
	return false;
}

void names_step(struct sim *s)
{
	for (unsigned i = 0; i < NAMES_ASKED; i++) {
		struct dns_seen seen;

		if (!leads_somewhere(s, asked[i], &seen) || runs(s, asked[i]))
			s->stale_since[i] = 0;
		else if (s->stale_since[i] == 0)
			s->stale_since[i] = s->now;
		else if (s->now > s->stale_since[i] + TELL_MS)
			sim_fail(s, "%s.vm leads to %s, and no such machine runs since %llu ms",
				asked[i], seen.text, (unsigned long long)s->stale_since[i]);
	}
}

void check_names(struct sim *s, const struct vm_listed *listed)
{
	for (uint32_t i = 0; i < listed->vms.n; i++) {
		const struct vm_info *v = &listed->vms.v[i];
		/* without a network there is no address of its own, but in user mode */
		bool up = v->state == vm_state_running && !(s->system && v->net == net_none);
		struct dns_seen seen;
		char reverse[80];
		unsigned b[4];

		if (leads_somewhere(s, v->name, &seen) != up)
			sim_fail(s, "machine %s is %s, and its name %s", v->name,
				word_of(vm_state, v->state), up ? "leads nowhere" : "is answered");
		if (!up)
			continue;
		must(sscanf(seen.text, "%u.%u.%u.%u", &b[0], &b[1], &b[2], &b[3]) == 4);
		snprintf(reverse, sizeof(reverse), "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1],
			b[0]);
		if (!ask_name(s, reverse, DNS_PTR, &seen) || seen.answers != 1 ||
			strncmp(seen.text, v->name, strlen(v->name)) != 0)
			sim_fail(s, "%s does not lead back to %s", reverse, v->name);
	}
}

/* ---- connections ---- */

static void asker_free(struct asker *a)
{
	TAILQ_REMOVE(&a->s->askers, a, entry);
	sim_forget(a->s, a);
	chan_close(a->chan);
	free(a);
}

static size_t on_data(void *ctx, const uint8_t *p, size_t n)
{
	struct asker *a = ctx;
	struct dns_seen seen;
	const char *why;
	size_t length;

	if (n < 2 || n - 2 < (length = (size_t)p[0] << 8 | p[1]))
		return 0;
	if (a->due-- == 0)
		sim_fail(a->s, "an answer on a connection that nobody asked for");
	why = dns_look((struct bytes){ a->query, a->query_n }, (struct bytes){ p + 2, length },
		&seen);
	if (why)
		sim_fail(a->s, "an answer on a connection cannot be read: %s", why);
	sim_mark(a->s, MARK_name_asked);
	return length + 2;
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	asker_free(ctx);
}

static const struct chan_user user = { .data = on_data, .closed = on_closed };

static void leave(void *ctx, uint64_t arg UNUSED)
{
	asker_free(ctx);
}

static void say(struct asker *a)
{
	struct sim *s = a->s;
	char name[80];

	snprintf(name, sizeof(name), "%s.vm", asked[sim_roll(s, NAMES_ASKED)]);
	a->query_n = dns_ask(a->query, name, DNS_A, sim_chance(s, 500) ? 1232 : 0);
	for (uint64_t n = sim_roll(s, 90); n > 0; n--) {
		uint8_t length[2] = { (uint8_t)(a->query_n >> 8), (uint8_t)a->query_n };

		chan_write(a->chan, length, 2);
		chan_write(a->chan, a->query, a->query_n);
		a->due++;
	}
	if (sim_chance(s, 200)) /* and something that is never whole, or no query */
		chan_write(a->chan, sim_chance(s, 500) ? "\xff\xff\0" : "\0\3a", 3);
}

static void connect_once(struct sim *s)
{
	struct chan *c = host_connect_tcp(s, NAMES_PORT);
	struct asker *a = c ? calloc(1, sizeof(*a)) : NULL;

	if (!a)
		return;
	a->s = s;
	a->chan = c;
	chan_user_set(c, &user, a);
	TAILQ_INSERT_TAIL(&s->askers, a, entry);
	say(a);
	if (sim_chance(s, 700)) /* the others stay until they are cut */
		sim_after(s, sim_roll(s, 9000), leave, a, 0);
}

static void send_garbage(struct sim *s)
{
	uint8_t junk[64], out[DATAGRAM_OUT_MAX];
	size_t n = sim_roll(s, sizeof(junk));

	for (size_t i = 0; i < n; i++)
		junk[i] = (uint8_t)sim_random(s);
	host_datagram(s, (struct bytes){ junk, n }, out);
}

static void ask_something(void *ctx, uint64_t arg UNUSED)
{
	struct sim *s = ctx;

	if (s->calm)
		return;
	if (sim_chance(s, 300))
		send_garbage(s);
	else
		connect_once(s);
	sim_after(s, sim_between(s, 50, 9000), ask_something, s, 0);
}

void names_begin(struct sim *s)
{
	sim_after(s, sim_roll(s, 3000), ask_something, s, 0);
}

void names_end(struct sim *s)
{
	while (!TAILQ_EMPTY(&s->askers))
		asker_free(TAILQ_FIRST(&s->askers));
}

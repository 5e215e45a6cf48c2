/*
 * named.c - what a machine is reached by on this host: an address, and a name that leads to it.
 *
 * A machine of user mode has an address of its own in 127.64.0.0/10, drawn when it is made, kept in
 * its record and had by no other machine of the daemon; in system mode its network's lease is its
 * address. The dns actor answers for the name from a machine's last step of start until its VMM is
 * being ended or has ended, whatever ended it.
 */
#include "actors/vm/vm.h"
#include "base/log.h"
#include "base/text.h"

enum { NAME_MS = 60000, DRAWS_MAX = 64 };

/* Of four million addresses, at most 4,096 are taken. */
static bool draw(struct vmd *v, char out[16])
{
	uint8_t r[3];

	for (int i = 0; i < DRAWS_MAX; i++) {
		world_random(v->world, r, sizeof(r));
		snprintf(out, 16, "127.%u.%u.%u", 64u + r[0] % 64, r[1], 1u + r[2] % 254);
		if (!table_get(&v->by_address, out, strlen(out)))
			return true;
	}
	return false;
}

bool machine_set_address(struct machine *m, const char *address)
{
	struct vmd *v = m->v;

	if (m->r.address)
		table_del(&v->by_address, &m->by_address);
	m->r.address = NULL;
	if (!address || table_get(&v->by_address, address, strlen(address)))
		return !address;
	must(str_copy(m->address, sizeof(m->address), address));
	if (!table_add(&v->by_address, &m->by_address, m->address, strlen(m->address)))
		return false;
	m->r.address = m->address;
	return true;
}

bool machine_give_address(struct machine *m)
{
	char address[16];

	if (m->r.address || m->v->env->mode != mode_user)
		return false;
	return draw(m->v, address) && machine_set_address(m, address);
}

/* ---- the name ---- */

static void told(void *state UNUSED, uint64_t ctx UNUSED, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	if (why)
		log_line(LOG_ERROR, "vm", "name not told", "why", why->text, NULL);
}

bool machine_name_up(struct machine *m, answer_fn *fn, uint64_t ctx)
{
	struct dns_publish p = { .name = m->name,
		.address = m->r.address,
		.subnet = machine_leases(m) ? m->v->env->config->subnet : NULL };

	if (!m->r.address)
		return false;
	m->named = true;
	ask(m->v->me, LETTER_dns_publish, &p, NAME_MS, fn ? fn : told, ctx);
	return true;
}

void machine_name_down(struct machine *m)
{
	struct dns_withdraw w = { m->name };

	if (!m->named)
		return;
	m->named = false;
	ask(m->v->me, LETTER_dns_withdraw, &w, NAME_MS, told, 0);
}

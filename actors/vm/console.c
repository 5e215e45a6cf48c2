/*
 * console.c - a machine's console: what its VMM prints on the serial line, kept in two files of
 * bounded size, with a short tail in memory that tells why a guest died.
 *
 * A guest that floods its console slows itself down: reading rests when an allowance is used up,
 * and the VMM then holds the guest's port back.
 */
#include "base/log.h"
#include "actors/vm/vm.h"

enum {
	SEGMENT_BYTES = 524288, /* the newest file; the one before it is kept beside it */
	BURST_BYTES = 262144,
	BYTES_A_SECOND = 524288
};

static void newest(const struct machine *m, char *out, size_t size)
{
	machine_dir(m, out, size, "console.log");
}

static void older(const struct machine *m, char *out, size_t size)
{
	machine_dir(m, out, size, "console.log.1");
}

static void keep_tail(struct console *c, const uint8_t *p, size_t n)
{
	size_t keep = MIN(n, (size_t)CONSOLE_TAIL),
	       old = MIN((size_t)c->tail_n, CONSOLE_TAIL - keep);

	memmove(c->tail, c->tail + c->tail_n - old, old);
	memcpy(c->tail + old, p + n - keep, keep);
	c->tail_n = (uint32_t)(old + keep);
	c->tail[c->tail_n] = '\0';
}

static void keep_file(struct machine *m, const uint8_t *p, size_t n)
{
	struct console *c = &m->console;
	char path[64], before[64];
	struct why why;
	enum err e = OK;

	newest(m, path, sizeof(path));
	older(m, before, sizeof(before));
	if (c->segment + n > SEGMENT_BYTES) {
		e = world_rename(m->v->world, STATE, path, before, &why);
		c->segment = 0;
	}
	if (!e || e == ERR_not_found)
		e = world_append(m->v->world, STATE, path, (struct bytes){ p, n }, &why);
	c->segment += n;
	if (e)
		log_line(LOG_DEBUG, "vm", "console not kept", "vm", m->id, "why", why.text, NULL);
}

static void rested(void *ctx)
{
	struct machine *m = ctx;

	if (m->console.chan)
		chan_pause(m->console.chan, false);
}

/* Takes n bytes from the allowance; rests when it is used up. */
static void spend(struct machine *m, size_t n)
{
	struct console *c = &m->console;
	uint64_t now = world_now_ms(m->v->world);

	c->allowance = MIN((uint64_t)BURST_BYTES,
		c->allowance + (now - c->allowed_at) * BYTES_A_SECOND / 1000);
	c->allowed_at = now;
	if (n < c->allowance) {
		c->allowance -= n;
		return;
	}
	c->allowance = 0;
	chan_pause(c->chan, true);
	world_timer(m->v->world, &c->rest, 100, rested, m);
}

/*
 * A VMM without a power button says nothing of a guest's end, and stays when the guest has only
 * halted: the kernel's own last line tells. A guest that prints it without going down is ended.
 */
static void notice_end(struct machine *m)
{
	if (!m->driver->stays || m->guest_down || m->guest_reset)
		return;
	m->guest_reset = console_says(m, "reboot: Restarting system");
	m->guest_down =
		console_says(m, "reboot: Power down") || console_says(m, "reboot: System halted");
	if (m->guest_down)
		machine_vmm_end(m);
}

static size_t on_data(void *ctx, const uint8_t *p, size_t n)
{
	struct machine *m = ctx;

	m->console.total += n;
	keep_tail(&m->console, p, n);
	keep_file(m, p, n);
	session_console(m, p, n);
	spend(m, n);
	notice_end(m);
	vm_notice_lost_timer(m);
	return n;
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	console_close(ctx);
}

static const struct chan_user user = { on_data, NULL, on_closed };

enum err console_reach(struct machine *m, uint64_t parcel, struct why *why)
{
	struct console *c = &m->console;
	uint64_t used;
	char path[64];

	newest(m, path, sizeof(path));
	if (world_size(m->v->world, STATE, path, &c->segment, &used, NULL))
		c->segment = 0;
	c->allowance = BURST_BYTES;
	c->allowed_at = world_now_ms(m->v->world);
	c->tail_n = 0;
	console_close(m);
	return machine_chan(m, vmm_channel_console, parcel, &user, m, &c->chan, why);
}

void console_drain(struct machine *m)
{
	if (!m->console.chan)
		return;
	chan_pause(m->console.chan, false);
	chan_read_now(m->console.chan);
}

void console_close(struct machine *m)
{
	struct console *c = &m->console;

	world_timer_stop(&c->rest);
	chan_close(c->chan);
	c->chan = NULL;
}

bool console_says(const struct machine *m, const char *text)
{
	return memmem(m->console.tail, m->console.tail_n, text, strlen(text)) != NULL;
}

enum err console_read(struct machine *m, uint64_t tail, struct buf *ret, struct why *why)
{
	char path[64];
	enum err e;

	ret->max = 2 * SEGMENT_BYTES + 64 * KiB;
	older(m, path, sizeof(path));
	e = world_read(m->v->world, STATE, path, SEGMENT_BYTES + 32 * KiB, ret, why);
	if (e && e != ERR_not_found)
		return e;
	ret->max = 2 * SEGMENT_BYTES + 64 * KiB;
	newest(m, path, sizeof(path));
	{
		own_buf b = { .max = SEGMENT_BYTES + 64 * KiB };

		e = world_read(m->v->world, STATE, path, SEGMENT_BYTES + 32 * KiB, &b, why);
		if (e && e != ERR_not_found)
			return e;
		buf_add(ret, b.p, b.n);
	}
	if (ret->failed)
		return fail(why, ERR_no_memory, "no memory to read the console of %s", m->name);
	if (tail < ret->n)
		buf_drop(ret, ret->n - tail);
	return OK;
}

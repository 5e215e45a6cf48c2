/*
 * qmp.c - QEMU's monitor: greeting, capabilities, and the events that tell how a guest ended.
 *
 * The VMM is not trusted: a line has a ceiling, and what it means is one word.
 */
#include <jansson.h>

#include "base/log.h"
#include "actors/vm/driver_qemu.h"

enum { LINE_MAX_BYTES = 65536 };

#define GROW "grow"

struct qmp {
	struct machine *m;
	struct chan *chan;
};

static bool truthy(json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

/* Only what was asked for by name is waited for. */
static enum qmp_event answer_of(json_t *o)
{
	const char *id = json_string_value(json_object_get(o, "id"));

	if (!id || !str_eq(id, GROW))
		return QMP_OTHER;
	return json_object_get(o, "return") ? QMP_GREW : QMP_GREW_NOT;
}

static enum qmp_event event_of(json_t *o)
{
	const char *name = json_string_value(json_object_get(o, "event"));
	json_t *data = json_object_get(o, "data");
	const char *reason = json_string_value(json_object_get(data, "reason"));

	if (!name)
		return json_object_get(o, "QMP") ? QMP_GREETING : answer_of(o);
	if (str_eq(name, "SHUTDOWN"))
		return reason && str_eq(reason, "guest-reset") ? QMP_RESET :
		       truthy(data, "guest")                   ? QMP_SHUTDOWN :
								 QMP_OTHER;
	if (str_eq(name, "VSERPORT_CHANGE"))
		return truthy(data, "open") ? QMP_PORT_OPENED : QMP_PORT_CLOSED;
	return QMP_OTHER;
}

enum qmp_event qmp_line(const uint8_t *p, size_t n)
{
	json_t *o = json_loadb((const char *)p, n, JSON_REJECT_DUPLICATES, NULL);
	enum qmp_event e = json_is_object(o) ? event_of(o) : QMP_BAD;

	json_decref(o);
	return e;
}

static void take_line(struct qmp *q, const uint8_t *p, size_t n)
{
	static const char hello[] = "{\"execute\":\"qmp_capabilities\"}\n";
	struct machine *m = q->m;

	switch (qmp_line(p, n)) {
	case QMP_GREETING:
		chan_write(q->chan, hello, sizeof(hello) - 1);
		break;
	case QMP_SHUTDOWN:
		m->guest_down = true;
		break;
	case QMP_RESET:
		m->guest_reset = true;
		break;
	case QMP_PORT_CLOSED:
		m->link.port_closed = true;
		break;
	case QMP_PORT_OPENED:
		link_reopen(m);
		break;
	case QMP_GREW:
	case QMP_GREW_NOT:
		set_disk_grew(m, qmp_line(p, n) == QMP_GREW);
		break;
	case QMP_BAD:
		log_line(LOG_WARN, "vm", "qmp line not understood", "vm", m->id, NULL);
		break;
	case QMP_OTHER:
		break;
	}
}

static size_t on_data(void *ctx, const uint8_t *p, size_t n)
{
	struct qmp *q = ctx;
	const uint8_t *nl = memchr(p, '\n', n);

	if (!nl)
		return 0;
	take_line(q, p, (size_t)(nl - p));
	return (size_t)(nl - p) + 1;
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	struct qmp *q = ctx;

	chan_close(q->chan);
	q->chan = NULL;
}

static const struct chan_user user = { on_data, NULL, on_closed };

enum err qmp_open(struct machine *m, uint64_t parcel, struct qmp **ret, struct why *why)
{
	struct qmp *q = calloc(1, sizeof(*q));
	enum err e;

	if (!q)
		return fail(why, ERR_no_memory, "no memory for the monitor");
	q->m = m;
	e = machine_chan(m, vmm_channel_api, parcel, &user, q, &q->chan, why);
	if (e) {
		free(q);
		return e;
	}
	q->chan->in_max = q->chan->in.max = LINE_MAX_BYTES;
	*ret = q;
	return OK;
}

enum err qmp_grow(struct qmp *q, uint64_t size, struct why *why)
{
	char line[160];
	int n = snprintf(line, sizeof(line),
		"{\"execute\":\"block_resize\",\"arguments\":{\"device\":\"work\",\"size\":%llu},"
		"\"id\":\"" GROW "\"}\n",
		(unsigned long long)size);

	if (!q || !q->chan)
		return fail(why, ERR_unavailable, "the way to its VMM's monitor is closed");
	chan_write(q->chan, line, (size_t)n);
	return OK;
}

void qmp_close(struct qmp *q)
{
	if (!q)
		return;
	chan_close(q->chan);
	free(q);
}

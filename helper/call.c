/*
 * call.c - the one place where a request becomes an act: decode, check, queue, act, log.
 *
 * Whoever asked may go; what was begun is finished all the same, and its answer goes nowhere.
 */
#include "helper/call.h"

#include "base/log.h"
#include "wire/rpc.h"

struct calls {
	struct helper *h;
	TAILQ_HEAD(, call) all; /* in the order in which they came */
	unsigned count;
};

enum err calls_new(struct helper *h, struct calls **ret, struct why *why)
{
	struct calls *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return fail(why, ERR_no_memory, "no memory for calls");
	cs->h = h;
	TAILQ_INIT(&cs->all);
	*ret = cs;
	return OK;
}

static void free_call(struct calls *cs, struct call *c)
{
	TAILQ_REMOVE(&cs->all, c, entry);
	cs->count--;
	arena_done(&c->mem);
	free(c);
}

void calls_free(struct calls *cs)
{
	struct call *c;

	while (cs && (c = TAILQ_FIRST(&cs->all)) != NULL)
		free_call(cs, c);
	free(cs);
}

void calls_conn_gone(struct calls *cs, struct conn *conn)
{
	struct call *c, *next;

	for (c = TAILQ_FIRST(&cs->all); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->conn != conn)
			continue;
		c->conn = NULL;
		if (!c->running) /* nobody wants it any more */
			free_call(cs, c);
	}
}

/* Row F10: every refusal, with method, field and reason; log_line escapes the values. */
static void log_refusal(uid_t uid, const char *method, const struct why *why)
{
	log_line(LOG_WARN, "helper", "refused", "method", method, "uid", log_u64(uid).s, "code",
		err_name(why->code), "field", why->field[0] ? why->field : NULL, "why", why->text,
		NULL);
}

static bool must_wait(const struct calls *cs, const struct call *c)
{
	const struct call *other;

	if (!c->about[0])
		return false;
	TAILQ_FOREACH(other, &cs->all, entry)
	{
		if (other == c)
			return false;
		if (str_eq(other->about, c->about))
			return true;
	}
	return false;
}

static void begin(struct call *c)
{
	c->running = true;
	c->verb->act(c, c->body);
}

/* The call is over: whoever waited behind it is next. */
static void over(struct call *c)
{
	struct calls *cs = c->calls;
	struct call *next;
	char about[ABOUT_MAX];

	memcpy(about, c->about, sizeof(about));
	free_call(cs, c);
	if (!about[0])
		return;
	TAILQ_FOREACH(next, &cs->all, entry)
	if (str_eq(next->about, about))
		break;
	if (next && !next->running)
		begin(next);
}

void call_done_fd(struct call *c, const void *result, int fd)
{
	const struct letter_kind *kind = &letter_kinds[c->verb->id];
	own_buf b = { .max = 64 * KiB };
	static const struct nothing none;
	struct why why;

	if (shape_pack(kind->out, result ? result : &none, &b, &why)) {
		call_fail(c, &why);
		return;
	}
	if (c->verb->id != LETTER_priv_ping)
		log_line(LOG_INFO, "helper", "done", "method", kind->method, "uid",
			log_u64(c->uid).s, "about", c->about[0] ? c->about : NULL, NULL);
	if (c->conn)
		conn_answer(c, (struct bytes){ b.p, b.n }, fd);
	over(c);
}

void call_done(struct call *c, const void *result)
{
	call_done_fd(c, result, -1);
}

void call_fail(struct call *c, const struct why *why)
{
	log_refusal(c->uid, letter_kinds[c->verb->id].method, why);
	if (c->conn)
		conn_refuse(c, why);
	over(c);
}

void *call_memory(struct call *c, size_t size)
{
	void *p = arena_take(&c->mem, size);
	struct why why;

	if (p)
		return p;
	fail(&why, ERR_no_memory, "no memory for a request");
	call_fail(c, &why);
	return NULL;
}

static const struct verb *find_verb(struct bytes method)
{
	enum letter_id id = letter_by_method((const char *)method.p, method.n);

	for (const struct verb *v = verbs; v->act; v++)
		if (v->id == id)
			return v;
	return NULL;
}

static struct call *new_call(
	struct calls *cs, struct conn *conn, uid_t uid, uint32_t msgid, struct why *why)
{
	struct call *c;

	if (cs->count >= CALLS_MAX) {
		fail(why, ERR_busy, "%d requests are being served", CALLS_MAX);
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		fail(why, ERR_no_memory, "no memory for a request");
		return NULL;
	}
	c->h = cs->h;
	c->conn = conn;
	c->uid = uid;
	c->msgid = msgid;
	c->mem.max = 256 * KiB;
	TAILQ_INSERT_TAIL(&cs->all, c, entry);
	cs->count++;
	return c;
}

static enum err read_call(struct call *c, struct bytes params, struct why *why)
{
	const struct shape *in = letter_kinds[c->verb->id].in;
	uint8_t *copy = arena_take(&c->mem, params.n + 1);
	void *body = arena_take(&c->mem, MAX(in->size, 1));
	enum err e;

	if (!copy || !body)
		return fail(why, ERR_no_memory, "no memory for a request");
	memcpy(copy, params.p, params.n);
	e = shape_read(in, mp_over(copy, params.n), STRICT, &c->mem, body, why);
	if (!e && c->verb->check)
		e = c->verb->check(c->h, body, why);
	if (!e && c->verb->about)
		c->verb->about(body, c->about);
	c->body = body;
	return e;
}

void calls_request(struct calls *cs, struct conn *conn, uid_t uid, uint32_t msgid,
	struct bytes method, struct bytes params)
{
	const struct verb *verb = find_verb(method);
	struct call early = { .conn = conn, .msgid = msgid }, *c;
	char name[4 * METHOD_BYTES_MAX + 1];
	struct why why;

	if (!verb) {
		log_escape(name, sizeof(name), method.p, method.n);
		fail(&why, ERR_unknown_method, "no method '%s'", name);
		log_refusal(uid, name, &why);
		conn_refuse(&early, &why);
		return;
	}
	c = new_call(cs, conn, uid, msgid, &why);
	if (c) {
		c->verb = verb;
		c->calls = cs;
	}
	if (!c || read_call(c, params, &why)) {
		log_refusal(uid, letter_kinds[verb->id].method, &why);
		conn_refuse(&early, &why);
		if (c)
			free_call(cs, c);
		return;
	}
	if (!must_wait(cs, c))
		begin(c);
}

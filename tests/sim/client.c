/*
 * client.c - a connection to the daemon, and the bookkeeping that finds its faults: every request
 * is answered once, every operation and stream ends once, nothing comes that was not granted, and
 * what comes can be read.
 */
#include "tests/sim/client.h"

static void request_free(struct request *r)
{
	TAILQ_REMOVE(&r->c->requests, r, entry);
	free(r);
}

static void stream_free(struct client_stream *t)
{
	sim_forget(t->c->sim, t);
	TAILQ_REMOVE(&t->c->streams, t, entry);
	free(t);
}

static void forget_all(struct client *c)
{
	struct client_op *o;

	while (!TAILQ_EMPTY(&c->requests))
		request_free(TAILQ_FIRST(&c->requests));
	while (!TAILQ_EMPTY(&c->streams))
		stream_free(TAILQ_FIRST(&c->streams));
	while ((o = TAILQ_FIRST(&c->ops)) != NULL) {
		TAILQ_REMOVE(&c->ops, o, entry);
		free(o);
	}
}

void client_free(struct client *c)
{
	struct sim *s = c->sim;

	sim_trace(s, "client", "%llu leaves", (unsigned long long)c->n);
	sim_forget(s, c);
	rpc_free(take_ptr(&c->rpc));
	forget_all(c);
	TAILQ_REMOVE(&s->clients, c, entry);
	free(c);
}

/* ---- machines ---- */

static void ledger_add(struct request *r, const struct vm_begun *b)
{
	struct sim *s = r->c->sim;
	struct known_vm *k = &s->ledger[s->ledger_n];

	for (unsigned i = 0; i < s->ledger_n; i++)
		if (str_eq(s->ledger[i].id, b->vm))
			sim_fail(s, "the id %s was given twice", b->vm);
	if (s->ledger_n == LEDGER_MAX)
		return;
	s->ledger_n++;
	*k = (struct known_vm){ .rm = r->rm, .client = r->c->n };
	str_copy(k->id, sizeof(k->id), b->vm);
	str_copy(k->name, sizeof(k->name), b->name);
	for (unsigned i = 0; i < s->deletes_n; i++) /* by somebody who was faster */
		k->delete_asked |= s->deletes[i].at >= r->asked_at &&
				   str_eq(s->deletes[i].name, b->name);
}

void ledger_forget(struct sim *s, const char *ref)
{
	must(s->deletes_n < LEDGER_MAX);
	str_copy(s->deletes[s->deletes_n].name, sizeof(s->deletes[0].name), ref);
	s->deletes[s->deletes_n++].at = s->now;
	for (unsigned i = 0; i < s->ledger_n; i++)
		if (str_eq(s->ledger[i].id, ref) || str_eq(s->ledger[i].name, ref))
			s->ledger[i].delete_asked = true;
}

static void ledger_ack(struct sim *s, const char *id)
{
	for (unsigned i = 0; i < s->ledger_n; i++)
		if (str_eq(s->ledger[i].id, id)) {
			s->ledger[i].acked = true;
			sim_mark(s, MARK_created);
		}
}

/* ---- operations ---- */

static struct client_op *op_of(struct client *c, uint64_t op)
{
	struct client_op *o;

	TAILQ_FOREACH(o, &c->ops, entry)
		if (o->op == op)
			return o;
	o = calloc(1, sizeof(*o));
	must(o);
	o->op = op;
	TAILQ_INSERT_TAIL(&c->ops, o, entry);
	return o;
}

static void op_begun(struct client *c, uint64_t op, const char *vm)
{
	struct client_op *o = op_of(c, op);

	if (o->begun || o->done)
		sim_fail(c->sim, "operation %llu began twice", (unsigned long long)op);
	o->begun = true;
	str_copy(o->vm, sizeof(o->vm), vm);
}

static void op_done(struct client *c, const struct op_done *d)
{
	struct client_op *o = op_of(c, d->op);

	if (o->done)
		sim_fail(c->sim, "operation %llu ended twice", (unsigned long long)d->op);
	o->done = true;
	if (d->state == op_state_done && o->vm[0])
		ledger_ack(c->sim, o->vm);
	if (d->error && strstr(d->error->message, "have a network"))
		sim_mark(c->sim, MARK_leases_full);
	sim_trace(c->sim, "client", "%llu hears that operation %llu is %s%s%s",
		(unsigned long long)c->n, (unsigned long long)d->op, word_of(op_state, d->state),
		d->error ? ": " : "", d->error ? d->error->message : "");
}

/* ---- streams ---- */

static void tell_daemon(struct client *c, enum letter_id id, const void *body)
{
	struct why why;

	must(rpc_note(c->rpc, &letter_kinds[id], body, &why) == OK);
}

static bool is_greedy(struct client_stream *t)
{
	struct sim *s = t->c->sim;

	if (s->calm || !t->to_send || !sim_chance(s, s->weather.malformed))
		return false;
	sim_mark(s, MARK_client_greedy);
	return true;
}

void client_pump(struct client_stream *t)
{
	static const uint8_t bytes[CHUNK_BYTES];
	bool greedy = is_greedy(t);

	while (t->writes && (t->in.left > 0 || greedy || !t->to_send)) {
		size_t n = MIN(t->to_send, sizeof(bytes));
		struct stream_data d = { t->stream, 0, { bytes, n } };

		greedy &= t->to_send > 0;
		if (!greedy)
			n = d.data.n = MIN(n, (size_t)t->in.left);
		(void)!window_use(&t->in, n);
		t->to_send -= n;
		t->writes = n > 0;
		tell_daemon(t->c, LETTER_stream_data, &d);
	}
}

static void open_stream(struct request *r, uint64_t stream)
{
	struct client_stream *t = calloc(1, sizeof(*t));
	struct client *c = r->c;
	struct sim *s = c->sim;

	must(t);
	t->c = c;
	t->id = r->id;
	t->stream = stream;
	window_init(&t->in);
	window_init(&t->out[0]);
	window_init(&t->out[1]);
	t->lazy = c->slow;
	t->writes = r->stdin || r->id == LETTER_vm_put || r->id == LETTER_vm_dial ||
		    r->id == LETTER_image_import || r->id == LETTER_kernel_import;
	t->to_send = sim_chance(s, 700) ? sim_roll(s, 60000) : sim_roll(s, 700000);
	TAILQ_INSERT_TAIL(&c->streams, t, entry);
	client_pump(t);
}

static struct client_stream *stream_of(struct client *c, uint64_t stream, const char *what)
{
	struct client_stream *t;

	TAILQ_FOREACH(t, &c->streams, entry)
		if (t->stream == stream)
			return t;
	sim_fail(c->sim, "%s for stream %llu, which client %llu has not got", what,
		(unsigned long long)stream, (unsigned long long)c->n);
}

static void grant(void *ctx, uint64_t ch)
{
	struct client_stream *t = ctx;
	struct stream_credit credit = { t->stream, ch,
		window_passed(&t->out[ch - 1], t->owed[ch - 1]) };

	t->owed[ch - 1] = 0;
	if (credit.bytes)
		tell_daemon(t->c, LETTER_stream_credit, &credit);
}

static void on_data(struct client *c, const struct stream_data *d)
{
	struct client_stream *t = stream_of(c, d->stream, "data");

	if (d->ch == 0 || t->ended[d->ch - 1] || !window_use(&t->out[d->ch - 1], d->data.n))
		sim_fail(c->sim, "stream %llu brings what was not granted",
			(unsigned long long)d->stream);
	t->ended[d->ch - 1] = d->data.n == 0;
	t->owed[d->ch - 1] += d->data.n;
	if (t->lazy)
		sim_after(c->sim, sim_between(c->sim, 100, 9000), grant, t, d->ch);
	else
		grant(t, d->ch);
}

static void on_credit(struct client *c, const struct stream_credit *credit)
{
	struct client_stream *t = stream_of(c, credit->stream, "credit");

	if (credit->ch != 0 || !window_grant(&t->in, credit->bytes))
		sim_fail(c->sim, "stream %llu: credit that makes no sense",
			(unsigned long long)credit->stream);
	client_pump(t);
}

static void on_end(struct client *c, const struct stream_end *e)
{
	struct client_stream *t = stream_of(c, e->stream, "an end");

	sim_mark(c->sim, e->error ? MARK_stream_broken : MARK_stream_ended);
	stream_free(t);
}

/* ---- what the daemon says ---- */

static void on_note(void *ctx, struct bytes method, struct bytes params)
{
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	struct arena a = { .max = 4 * MiB };
	struct client *c = ctx;
	union {
		struct op_stage stage;
		struct op_done done;
		struct event event;
		struct stream_data data;
		struct stream_credit credit;
		struct stream_end end;
	} body;
	struct why why;

	if (id != LETTER_op_stage && id != LETTER_op_done && id != LETTER_event &&
		id != LETTER_stream_data && id != LETTER_stream_credit && id != LETTER_stream_end)
		sim_fail(c->sim, "a client was told %.*s", (int)method.n, (const char *)method.p);
	if (shape_read(letter_kinds[id].in, mp_over(params.p, params.n), STRICT, &a, &body, &why))
		sim_fail(c->sim, "a client cannot read %s: %s %s", letter_kinds[id].method,
			why.field, why.text);
	if (id == LETTER_op_done)
		op_done(c, &body.done);
	else if (id == LETTER_stream_data)
		on_data(c, &body.data);
	else if (id == LETTER_stream_credit)
		on_credit(c, &body.credit);
	else if (id == LETTER_stream_end)
		on_end(c, &body.end);
	arena_done(&a);
}

static void on_result(struct request *r, const void *body)
{
	const struct import_begun *import = body;
	const struct vm_begun *vm = body;

	switch ((int)r->id) {
	case LETTER_vm_create_begin:
		op_begun(r->c, vm->op, vm->vm);
		ledger_add(r, vm);
		break;
	case LETTER_image_import:
	case LETTER_image_export:
	case LETTER_kernel_import:
		op_begun(r->c, import->op, "");
		open_stream(r, import->stream);
		break;
	case LETTER_vm_exec:
	case LETTER_vm_put:
	case LETTER_vm_get:
	case LETTER_vm_dial:
	case LETTER_vm_logs:
		open_stream(r, ((const struct stream_begun *)body)->stream);
		break;
	case LETTER_vm_list:
		if (r->last)
			check_list(r->c->sim, body);
		break;
	default:
		break;
	}
}

static void on_answer(void *ctx, const struct why *why, struct bytes result)
{
	struct request *r = ctx;
	struct client *c = r->c;
	const struct shape *out = letter_kinds[r->id].out;
	struct arena a = { .max = 4 * MiB };
	void *body = arena_take(&a, MAX(out->size, 1u));
	struct why bad;

	sim_trace(c->sim, "client", "%llu hears %s: %s", (unsigned long long)c->n,
		letter_kinds[r->id].method, why ? why->text : "ok");
	must(body);
	if (!why && shape_read(out, mp_over(result.p, result.n), STRICT, &a, body, &bad))
		sim_fail(c->sim, "a client cannot read the answer of %s: %s %s",
			letter_kinds[r->id].method, bad.field, bad.text);
	if (why && strncmp(why->text, "the daemon ends: ", 17) == 0)
		sim_mark(c->sim, MARK_gave_up);
	if (why && why->code == ERR_internal && !c->sim->weather.worker)
		sim_fail(c->sim, "%s is answered with an internal error: %s",
			letter_kinds[r->id].method, why->text);
	if (!why)
		on_result(r, body);
	arena_done(&a);
	request_free(r);
}

static void on_closed(void *ctx, const struct why *why)
{
	struct client *c = ctx;

	if (why->code == ERR_malformed)
		sim_fail(c->sim, "the daemon's letters to client %llu are malformed: %s",
			(unsigned long long)c->n, why->text);
	client_free(c);
}

static const struct rpc_user rpc_user = { .note = on_note, .closed = on_closed };

struct client *client_new(struct sim *s)
{
	struct chan *chan = host_connect(s, SOCKET_NAME);
	struct client *c = chan ? calloc(1, sizeof(*c)) : NULL;

	if (!c)
		return NULL;
	c->sim = s;
	c->n = ++s->clients_made;
	TAILQ_INIT(&c->requests);
	TAILQ_INIT(&c->streams);
	TAILQ_INIT(&c->ops);
	chan->out_max = chan->out.max = 64 * MiB;
	c->rpc = rpc_new(chan, FRAME_BYTES_MAX, &rpc_user, c);
	must(c->rpc);
	TAILQ_INSERT_TAIL(&s->clients, c, entry);
	sim_trace(s, "client", "%llu connects", (unsigned long long)c->n);
	return c;
}

struct request *client_ask(struct client *c, enum letter_id id, const void *body)
{
	struct request *r = calloc(1, sizeof(*r));
	struct why why;

	must(r);
	r->c = c;
	r->id = id;
	r->asked_at = c->sim->now;
	TAILQ_INSERT_TAIL(&c->requests, r, entry);
	sim_mark(c->sim, MARK_operations);
	if (rpc_ask(c->rpc, &letter_kinds[id], body, on_answer, r, &why))
		sim_fail(c->sim, "a client cannot ask %s: %s %s", letter_kinds[id].method,
			why.field, why.text);
	return r;
}

/* ---- at the end ---- */

void clients_leave(struct sim *s)
{
	while (!TAILQ_EMPTY(&s->clients))
		client_free(TAILQ_FIRST(&s->clients));
}

void clients_check(struct sim *s)
{
	struct client_op *o;
	struct client *c;

	TAILQ_FOREACH(c, &s->clients, entry) {
		struct request *r = TAILQ_FIRST(&c->requests);

		if (c->rude)
			sim_fail(s, "client %llu sent garbage and is still connected",
				(unsigned long long)c->n);
		if (r)
			sim_fail(s, "%s of client %llu, asked at %llu ms, was never answered",
				letter_kinds[r->id].method, (unsigned long long)c->n,
				(unsigned long long)r->asked_at);
		TAILQ_FOREACH(o, &c->ops, entry)
			if (o->begun && !o->done)
				sim_fail(s, "operation %llu of client %llu never ended",
					(unsigned long long)o->op, (unsigned long long)c->n);
	}
}

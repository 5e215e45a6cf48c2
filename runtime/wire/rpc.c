/*
 * rpc.c - the MessagePack-RPC engine of every connection: client, daemon, worker, agent, helper.
 *
 * Invariants: a frame is looked at once however it is cut into pieces; nothing is allocated by what
 * a peer declares; an msgid is in flight once; every ask is answered exactly once, by the peer or
 * by the end of the connection.
 */
#include "wire/rpc.h"

#include "letter/error.h"
#include "letter/pack.h"

struct pending { /* an ask of ours */
	uint32_t msgid;
	rpc_answer_fn *fn;
	void *ctx;
};

struct rpc {
	struct chan *chan;
	const struct rpc_user *user;
	void *ctx;
	struct mp_scan scan;
	size_t frame_max;
	struct pending *asks; /* ours, in no order */
	uint32_t asks_n, asks_cap;
	uint32_t *served; /* the peer's, not answered yet */
	uint32_t served_n, served_cap;
	uint32_t next_msgid;
	bool over, busy, doomed, partial;
};

static size_t on_data(void *ctx, const uint8_t *p, size_t n);
static void on_drained(void *ctx);
static void on_closed(void *ctx, const struct why *why);

static const struct chan_user chan_user = { on_data, on_drained, on_closed };

struct rpc *rpc_new(struct chan *c, size_t frame_max, const struct rpc_user *user, void *ctx)
{
	struct rpc *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->chan = c;
	r->user = user;
	r->ctx = ctx;
	r->frame_max = frame_max;
	c->in_max = frame_max + CHAN_TURN_BYTES;
	c->in.max = c->in_max;
	chan_user_set(c, &chan_user, r);
	return r;
}

static void destroy(struct rpc *r)
{
	free(r->asks);
	free(r->served);
	free(r);
}

void rpc_free(struct rpc *r)
{
	if (!r || r->doomed)
		return;
	r->doomed = true;
	chan_close(r->chan);
	r->chan = NULL;
	if (!r->busy)
		destroy(r);
}

struct chan *rpc_chan(struct rpc *r)
{
	return r->chan;
}

/* Room for one more of `size` bytes behind n; false when out of memory. */
static bool room(void **v, uint32_t n, uint32_t *cap, size_t size)
{
	uint32_t want = *cap ? *cap * 2 : 4;
	void *p;

	if (n < *cap)
		return true;
	p = realloc(*v, want * size);
	if (!p)
		return false;
	*v = p;
	*cap = want;
	return true;
}

/* In. */

static void finish(struct rpc *r, const struct why *why)
{
	struct why gone;

	if (r->over || r->doomed)
		return;
	r->over = true;
	fail(&gone, ERR_unavailable, "the connection closed%s%s", why->code ? ": " : "",
		why->code ? why->text : "");
	while (r->asks_n > 0 && !r->doomed) {
		struct pending p = r->asks[--r->asks_n];

		p.fn(p.ctx, &gone, (struct bytes){ NULL, 0 });
	}
	if (!r->doomed)
		r->user->closed(r->ctx, why);
}

static void malformed(struct rpc *r, const char *what)
{
	struct why why;

	fail(&why, ERR_malformed, "%s", what);
	finish(r, &why);
}

static bool in_flight(const struct rpc *r, uint32_t msgid)
{
	for (uint32_t i = 0; i < r->served_n; i++)
		if (r->served[i] == msgid)
			return true;
	return false;
}

/* True when the request was in flight, and now is not. */
static bool land(struct rpc *r, uint32_t msgid)
{
	for (uint32_t i = 0; i < r->served_n; i++)
		if (r->served[i] == msgid) {
			r->served[i] = r->served[--r->served_n];
			return true;
		}
	return false;
}

static bool read_msgid(struct mp *c, uint32_t *ret)
{
	uint64_t v;

	if (!mp_u64(c, &v) || v > UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool read_method(struct mp *c, struct bytes *ret)
{
	return mp_str(c, ret) && ret->n <= METHOD_BYTES_MAX;
}

/* [] or [map]; the map's bytes, or an empty map. */
static bool read_params(struct mp *c, struct bytes *ret)
{
	static const uint8_t empty_map[] = { 0x80 };
	const uint8_t *from;
	uint32_t n;

	if (!mp_array(c, &n) || n > 1)
		return false;
	*ret = (struct bytes){ empty_map, 1 };
	if (n == 0)
		return true;
	from = c->p;
	if (mp_peek(c) != MP_MAP || !mp_skip(c))
		return false;
	*ret = (struct bytes){ from, (size_t)(c->p - from) };
	return true;
}

static void send_refusal(struct rpc *r, uint32_t msgid, const struct why *why);

static void on_request(struct rpc *r, struct mp *c)
{
	struct bytes method, params;
	struct why why;
	uint32_t msgid;

	if (!read_msgid(c, &msgid) || in_flight(r, msgid)) {
		malformed(r, "a bad msgid");
	} else if (!read_method(c, &method)) {
		malformed(r, "a method that is no str of at most 64 bytes");
	} else if (!read_params(c, &params)) {
		malformed(r, "params that are neither [] nor [map]");
	} else if (!r->user->request) {
		malformed(r, "a request where none is served");
	} else if (r->served_n >= REQUESTS_MAX) {
		fail(&why, ERR_busy, "%d requests are in flight on this connection", REQUESTS_MAX);
		fail_hint(&why, "wait for answers, or open another connection");
		send_refusal(r, msgid, &why);
	} else if (!room((void **)&r->served, r->served_n, &r->served_cap, sizeof(uint32_t))) {
		fail(&why, ERR_no_memory, "no memory for a request");
		send_refusal(r, msgid, &why);
	} else {
		r->served[r->served_n++] = msgid;
		r->user->request(r->ctx, msgid, method, params);
	}
}

static void on_note(struct rpc *r, struct mp *c)
{
	struct bytes method, params;

	if (!read_method(c, &method))
		malformed(r, "a method that is no str of at most 64 bytes");
	else if (!read_params(c, &params))
		malformed(r, "params that are neither [] nor [map]");
	else if (r->user->note)
		r->user->note(r->ctx, method, params);
}

static void on_response(struct rpc *r, struct mp *c)
{
	struct bytes error = { NULL, 0 }, result = { NULL, 0 };
	struct pending p = { .fn = NULL };
	uint32_t msgid, i;
	struct why why;

	if (!read_msgid(c, &msgid)) {
		malformed(r, "a bad msgid");
		return;
	}
	if (!mp_nil(c)) {
		error.p = c->p;
		if (mp_peek(c) != MP_MAP || !mp_skip(c)) {
			malformed(r, "an error that is neither nil nor a map");
			return;
		}
		error.n = (size_t)(c->p - error.p);
	}
	if (!mp_nil(c)) {
		result.p = c->p;
		if (!mp_skip(c)) {
			malformed(r, "an unreadable result");
			return;
		}
		result.n = (size_t)(c->p - result.p);
	}
	for (i = 0; i < r->asks_n && r->asks[i].msgid != msgid; i++)
		;
	if (i == r->asks_n) {
		malformed(r, "an answer that nobody asked for");
		return;
	}
	p = r->asks[i];
	r->asks[i] = r->asks[--r->asks_n];
	if (error.p)
		error_read(error, &why);
	p.fn(p.ctx, error.p ? &why : NULL, result);
}

static void frame(struct rpc *r, const uint8_t *p, size_t n)
{
	struct mp c = mp_over(p, n);
	uint64_t type;
	uint32_t count;

	if (!mp_array(&c, &count) || !mp_u64(&c, &type))
		malformed(r, "a frame that is no array of type, ...");
	else if (type == 0 && count == 4)
		on_request(r, &c);
	else if (type == 1 && count == 4)
		on_response(r, &c);
	else if (type == 2 && count == 3)
		on_note(r, &c);
	else
		malformed(r, "an array that is no request, response or notification");
}

static void tell_partial(struct rpc *r, bool open)
{
	if (r->partial == open || !r->user->partial)
		return;
	r->partial = open;
	r->user->partial(r->ctx, open);
}

static size_t on_data(void *ctx, const uint8_t *p, size_t n)
{
	struct rpc *r = ctx;
	bool outer = !r->busy;
	size_t used = 0;

	r->busy = true;
	while (used < n && !r->over && !r->doomed) {
		enum mp_scan_result got;
		size_t len;

		if (r->user->full && r->user->full(r->ctx)) {
			chan_pause(r->chan, true);
			break;
		}
		got = mp_scan(&r->scan, p + used, n - used, r->frame_max);
		if (got == MP_MORE)
			break;
		if (got != MP_WHOLE) {
			malformed(r, got == MP_OVER ? "a frame over its ceiling" : "not msgpack");
			break;
		}
		len = r->scan.at;
		r->scan = (struct mp_scan){ .depth = 0 };
		frame(r, p + used, len);
		used += len;
	}
	if (r->over || r->doomed)
		used = n;
	else
		tell_partial(r, used < n && !r->chan->paused);
	if (outer) {
		r->busy = false;
		if (r->doomed)
			destroy(r);
	}
	return used;
}

static void on_drained(void *ctx)
{
	struct rpc *r = ctx;
	bool outer = !r->busy;

	if (!r->user->drained || r->over)
		return;
	r->busy = true;
	r->user->drained(r->ctx);
	if (outer) {
		r->busy = false;
		if (r->doomed)
			destroy(r);
	}
}

static void on_closed(void *ctx, const struct why *why)
{
	struct rpc *r = ctx;
	bool outer = !r->busy;

	r->busy = true;
	finish(r, why);
	if (outer) {
		r->busy = false;
		if (r->doomed)
			destroy(r);
	}
}

void rpc_resume(struct rpc *r)
{
	if (!r->over && !r->doomed)
		chan_pause(r->chan, false);
}

bool rpc_over(const struct rpc *r)
{
	return r->over;
}

/* Out. */

/* What is behind the mark `from` is given up when packing failed, so no half frame leaves. */
static enum err sent(struct rpc *r, size_t from, enum err e, struct why *why)
{
	struct buf *out = chan_out(r->chan);

	if (e || out->failed || out->n - from > r->frame_max) {
		bool full = out->failed;

		if (!full)
			out->n = from;
		else
			chan_wrote(r->chan);
		if (e)
			return e;
		return fail(why, ERR_too_large, "%s",
			full ? "the peer does not read" : "a message over the frame's ceiling");
	}
	chan_wrote(r->chan);
	return OK;
}

static bool usable(struct rpc *r, struct why *why)
{
	if (!r->over && !r->doomed)
		return true;
	fail(why, ERR_unavailable, "the connection is closed");
	return false;
}

static enum err note_ask(
	struct rpc *r, rpc_answer_fn *fn, void *ctx, uint32_t *msgid, struct why *why)
{
	if (r->asks_n >= REQUESTS_MAX)
		return fail(why, ERR_busy, "%d requests wait for this peer", REQUESTS_MAX);
	if (!room((void **)&r->asks, r->asks_n, &r->asks_cap, sizeof(*r->asks)))
		return fail(why, ERR_no_memory, "no memory for a request");
	*msgid = r->next_msgid++;
	r->asks[r->asks_n] = (struct pending){ *msgid, fn, ctx };
	return OK;
}

static msgpack_packer head(struct rpc *r, uint32_t count, uint32_t type)
{
	msgpack_packer pk = packer_on(chan_out(r->chan));

	msgpack_pack_array(&pk, count);
	msgpack_pack_uint32(&pk, type);
	return pk;
}

enum err rpc_ask(struct rpc *r, const struct letter_kind *kind, const void *body, rpc_answer_fn *fn,
	void *ctx, struct why *why)
{
	own_buf b = { .max = r->frame_max };
	enum err e = shape_pack(kind->in, body, &b, why);

	if (e)
		return e;
	return rpc_ask_packed(r, kind->method, (struct bytes){ b.p, b.n }, fn, ctx, why);
}

enum err rpc_ask_packed(struct rpc *r, const char *method, struct bytes params, rpc_answer_fn *fn,
	void *ctx, struct why *why)
{
	msgpack_packer pk;
	uint32_t msgid = 0;
	size_t from;
	enum err e;

	if (!usable(r, why))
		return why ? why->code : ERR_unavailable;
	e = note_ask(r, fn, ctx, &msgid, why);
	if (e)
		return e;
	from = chan_pending(r->chan);
	pk = head(r, 4, 0);
	msgpack_pack_uint32(&pk, msgid);
	pack_str(&pk, method, strlen(method));
	msgpack_pack_array(&pk, 1);
	buf_add(chan_out(r->chan), params.p, params.n);
	e = sent(r, from, OK, why);
	if (!e)
		r->asks_n++;
	return e;
}

static void ignore(void *ctx UNUSED, const struct why *why UNUSED, struct bytes result UNUSED)
{
}

void rpc_forget(struct rpc *r, void *ctx)
{
	for (uint32_t i = 0; i < r->asks_n; i++)
		if (r->asks[i].ctx == ctx)
			r->asks[i] = (struct pending){ r->asks[i].msgid, ignore, NULL };
}

enum err rpc_note(struct rpc *r, const struct letter_kind *kind, const void *body, struct why *why)
{
	msgpack_packer pk;
	size_t from;

	if (!usable(r, why))
		return why ? why->code : ERR_unavailable;
	from = chan_pending(r->chan);
	pk = head(r, 3, 2);
	pack_str(&pk, kind->method, strlen(kind->method));
	msgpack_pack_array(&pk, 1);
	return sent(r, from, shape_pack(kind->in, body, chan_out(r->chan), why), why);
}

void rpc_note_packed(struct rpc *r, struct bytes method, struct bytes params)
{
	msgpack_packer pk;
	size_t from;

	if (!usable(r, NULL))
		return;
	from = chan_pending(r->chan);
	pk = head(r, 3, 2);
	pack_str(&pk, (const char *)method.p, method.n);
	msgpack_pack_array(&pk, 1);
	buf_add(chan_out(r->chan), params.p, params.n);
	(void)!sent(r, from, OK, NULL);
}

enum err rpc_answer(struct rpc *r, uint32_t msgid, const struct letter_kind *kind, const void *body,
	struct why *why)
{
	own_buf b = { .max = r->frame_max };
	struct why own = { .code = OK };
	enum err e;

	why = why ? why : &own;
	e = shape_pack(kind->out, body, &b, why);
	if (e)
		rpc_refuse(r, msgid, why);
	else
		rpc_answer_packed(r, msgid, (struct bytes){ b.p, b.n });
	return e;
}

void rpc_answer_packed(struct rpc *r, uint32_t msgid, struct bytes result)
{
	rpc_answer_fd(r, msgid, result, -1);
}

void rpc_answer_fd(struct rpc *r, uint32_t msgid, struct bytes result, int fd)
{
	struct why why;
	msgpack_packer pk;
	size_t from;
	enum err e;

	if (!usable(r, NULL) || !in_flight(r, msgid))
		return;
	from = chan_pending(r->chan);
	pk = head(r, 4, 1);
	msgpack_pack_uint32(&pk, msgid);
	msgpack_pack_nil(&pk);
	buf_add(chan_out(r->chan), result.p, result.n);
	e = sent(r, from, OK, &why);
	if (!e && fd >= 0) {
		e = chan_fd_send(r->chan, from, fd, &why);
		if (e)
			chan_out(r->chan)->n = from;
	}
	if (e) {
		rpc_refuse(r, msgid, &why);
		return;
	}
	must(land(r, msgid));
}

static void send_refusal(struct rpc *r, uint32_t msgid, const struct why *why)
{
	size_t from = chan_pending(r->chan);
	msgpack_packer pk = head(r, 4, 1);

	msgpack_pack_uint32(&pk, msgid);
	error_pack(&pk, why);
	msgpack_pack_nil(&pk);
	(void)!sent(r, from, OK, NULL);
}

void rpc_refuse(struct rpc *r, uint32_t msgid, const struct why *why)
{
	if (usable(r, NULL) && land(r, msgid))
		send_refusal(r, msgid, why);
}

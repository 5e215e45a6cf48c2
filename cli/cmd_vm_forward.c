/*
 * cmd_vm_forward.c - `banger vm forward`: ports of this host lead into a guest while the command
 * runs. This process listens; each connection is a stream of vm.dial, so windows slow down whoever
 * sends to one that does not read, and each direction ends on its own.
 *
 * (-p of run and create is for what shall outlive a command: there the daemon listens.)
 */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/interrupts.h"
#include "cli/json.h"
#include "cli/link.h"
#include "cli/report.h"
#include "cli/ssh.h"
#include "cli/stream.h"
#include "proto/check.h"

enum { FORWARDS_MAX = 16, PASSAGES_MAX = 128 };

struct forward;

struct passage { /* a connection */
	TAILQ_ENTRY(passage) entry;
	struct forward *of;
	int fd;
	struct vm_dial dial;
	struct stream_begun begun;
	struct call call;
	struct arena mem; /* of the answer */
	struct stream stream;
	bool streams, shut;
};

struct port {
	struct forward *of;
	uint32_t address;
	uint16_t host, guest;
	int fd;
	struct watch watch;
};

struct forward {
	struct cli *c;
	const char *vm;
	struct interrupts interrupts;
	struct port ports[FORWARDS_MAX];
	unsigned ports_n, open;
	TAILQ_HEAD(, passage) passages;
	bool crowd_told;
	char told[sizeof(((struct why *)0)->text)]; /* why a connection was refused, said once */
};

/* ---- listening ---- */

static enum err explain(const struct port *p, struct why *why)
{
	enum err e = fail_errno(why, "cannot listen at port %u", p->host);

	str_copy(why->field, sizeof(why->field), "publish");
	if (e == ERR_denied)
		return fail_hint(why, "ports below 1024 are for root; use a greater one");
	if (e == ERR_conflict)
		return fail_hint(why, "`ss -ltnp sport = :%u` shows who has it", p->host);
	return e;
}

static enum err open_port(struct port *p, struct why *why)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_port = htons(p->host),
		.sin_addr.s_addr = htonl(p->address) };

	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0 ||
		setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0 ||
		bind(p->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(p->fd, 128) < 0)
		return explain(p, why);
	return OK;
}

static enum err read_arguments(struct forward *f, struct why *why)
{
	struct cli *c = f->c;

	f->vm = ssh_machine_of(c, c->args[0], why);
	if (!f->vm)
		return why->code;
	for (unsigned i = 1; i < c->args_n; i++) {
		struct port *p = &f->ports[f->ports_n++];

		*p = (struct port){ .of = f, .fd = -1 };
		if (!parse_publish(c->args[i], &p->address, &p->host, &p->guest))
			return fail_field(why, ERR_invalid_value, "publish",
				"'%.60s' is no [ADDR:]HOST:GUEST, like 8080:80", c->args[i]);
	}
	return OK;
}

/* ---- connections ---- */

static void passage_free(struct passage *p)
{
	struct forward *f = p->of;

	rpc_forget(f->c->link->rpc, &p->call);
	if (p->streams)
		stream_close(&p->stream);
	close(p->fd);
	arena_done(&p->mem);
	TAILQ_REMOVE(&f->passages, p, entry);
	f->open--;
	free(p);
}

static void refused(struct forward *f, const struct why *why)
{
	if (!str_eq(f->told, why->text))
		note(f->c, "%s", why->text);
	str_copy(f->told, sizeof(f->told), why->text);
}

/* The guest answered: bytes go both ways from here on. */
static void pass(struct passage *p)
{
	p->streams = true;
	stream_output(&p->stream, 1, p->fd);
	stream_input(&p->stream, p->fd);
}

/* What there is to do for one after a turn; it may be freed. */
static void tend(struct passage *p)
{
	struct stream *s = &p->stream;

	if (p->call.done && p->call.why.code) {
		refused(p->of, &p->call.why);
		passage_free(p);
		return;
	}
	if (p->call.done && !p->streams)
		pass(p);
	if (!p->streams)
		return;
	if (s->out[0].ended && stream_flushed(s) && !p->shut) {
		p->shut = true;
		stream_shut(s, 1);
	}
	/* broken here: the daemon hears of it, and ends the guest's side */
	if ((s->out[0].error || s->in.error) && !s->ended)
		stream_signal(s, SIGHUP);
	if (s->ended ? stream_flushed(s) : s->out[0].error || s->in.error)
		passage_free(p);
}

static void on_note(void *ctx, enum letter_id letter, struct bytes params)
{
	struct forward *f = ctx;
	struct passage *p;

	TAILQ_FOREACH(p, &f->passages, entry)
	if (p->begun.stream && stream_note(&p->stream, letter, params))
		return;
}

static void come_in(struct port *at, int fd)
{
	struct forward *f = at->of;
	struct passage *p = f->open < PASSAGES_MAX ? calloc(1, sizeof(*p)) : NULL;

	if (!p) {
		if (!f->crowd_told)
			note(f->c, "%d connections are open; more are closed", PASSAGES_MAX);
		f->crowd_told = true;
		close(fd);
		return;
	}
	p->of = f;
	p->fd = fd;
	p->mem.max = 64 * KiB;
	p->dial = (struct vm_dial){ .vm = f->vm, .port = at->guest };
	stream_init(&p->stream, f->c->link, &p->begun.stream);
	stream_hold(&p->stream, 1);
	p->call = (struct call){
		.letter = LETTER_vm_dial, .body = &p->dial, .result = &p->begun, .mem = &p->mem
	};
	TAILQ_INSERT_TAIL(&f->passages, p, entry);
	f->open++;
	call_send(f->c->link, &p->call);
}

static void on_connection(void *ctx, int events UNUSED)
{
	struct port *p = ctx;
	int fd;

	while ((fd = accept4(p->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		come_in(p, fd);
}

/* ---- the command ---- */

static void say_where(struct forward *f)
{
	json_t *all = f->c->json ? json_array() : NULL;
	char address[INET_ADDRSTRLEN];

	for (unsigned i = 0; i < f->ports_n; i++) {
		struct port *p = &f->ports[i];
		struct vm_forward said = { address, p->host, p->guest, true };

		snprintf(address, sizeof(address), "%u.%u.%u.%u", p->address >> 24,
			p->address >> 16 & 255, p->address >> 8 & 255, p->address & 255);
		if (f->c->json)
			json_add(&all, json_of(&shape_vm_forward, &said));
		else
			printf("%s:%u -> %s:%u\n", address, p->host, f->vm, p->guest);
	}
	if (f->c->json)
		json_print(f->c, all);
	fflush(stdout);
}

static int serve(struct forward *f)
{
	struct link *l = f->c->link;
	struct passage *p, *next;

	for (unsigned i = 0; i < f->ports_n; i++)
		watch_start(f->c->loop, &f->ports[i].watch, f->ports[i].fd, WATCH_READ,
			on_connection, &f->ports[i]);
	while (!f->interrupts.first && !l->gone) {
		loop_turn(f->c->loop, true);
		for (p = TAILQ_FIRST(&f->passages); p; p = next) {
			next = TAILQ_NEXT(p, entry);
			tend(p);
		}
		f->crowd_told &= f->open >= PASSAGES_MAX / 2;
	}
	return f->interrupts.first ? EXIT_DONE : report(f->c, &l->gone_why);
}

static enum err begin(struct forward *f, struct why *why)
{
	struct vm_only which = { f->vm };
	struct vm_shown shown;
	enum err e = ask(f->c, LETTER_vm_show, &which, &shown, why);

	for (unsigned i = 0; !e && i < f->ports_n; i++)
		e = open_port(&f->ports[i], why);
	return e;
}

static int forward(struct cli *c)
{
	struct forward f = { .c = c };
	struct passage *p;
	struct why why;
	int code;

	TAILQ_INIT(&f.passages);
	if (read_arguments(&f, &why))
		return report_usage(c, &why);
	if (link_open(c, &why))
		return report(c, &why);
	interrupts_start(&f.interrupts, c->loop);
	c->link->note = on_note;
	c->link->note_ctx = &f;
	if (begin(&f, &why)) {
		code = report(c, &why);
	} else {
		say_where(&f);
		code = serve(&f);
	}
	while ((p = TAILQ_FIRST(&f.passages)) != NULL)
		passage_free(p);
	for (unsigned i = 0; i < f.ports_n; i++) {
		watch_stop(&f.ports[i].watch);
		if (f.ports[i].fd >= 0)
			close(f.ports[i].fd);
	}
	c->link->note = NULL;
	interrupts_stop(&f.interrupts);
	return code;
}

const struct command cmd_vm_forward = {
	.words = "vm forward",
	.args = "NAME [ADDR:]HOST:GUEST...",
	.least = 2,
	.most = 1 + FORWARDS_MAX,
	.offer = OFFER_VMS,
	.doc = "lead ports of this host into a guest until Ctrl-C",
	.more = "Listens at port HOST of 127.0.0.1, or of ADDR, and connects to port GUEST in "
		"the machine through\nits agent, whatever its network. The machine may be "
		"started later, and again. What shall last as\nlong as the machine is `-p` of "
		"vm run and vm create.",
	.example = "banger vm forward web 8080:80\n"
		   "banger vm forward web 8080:80 127.0.0.1:5433:5432",
	.run = forward,
};

/*
 * cmd_vm_proxy.c - `banger vm proxy`: bytes between here and a TCP port inside a guest, through its
 * agent. It is also what ssh connects through: then it sees to both sides' keys first (row B11).
 */
#include <unistd.h>

#include "base/text.h"
#include "cli/link.h"
#include "cli/report.h"
#include "cli/ssh.h"
#include "cli/stream.h"

static const struct flag flags[] = {
	{ .name = "wait",
		.type = &type_ms,
		.value = "DURATION",
		.doc = "wait so long, at most a minute, until something listens there" },
	{ .name = "known-hosts",
		.type = &type_abs_path,
		.value = "FILE",
		.offer = OFFER_FILES,
		.doc = "for ssh: write the machine's host keys into this file first" },
	{ .name = "identity",
		.type = &type_abs_path,
		.value = "FILE",
		.offer = OFFER_FILES,
		.doc = "for ssh: the private key whose public one is to be let in" },
	{ .name = NULL },
};

struct proxy {
	struct cli *c;
	const char *vm;
	const char *known_hosts;
	struct ssh ssh;
	struct vm_dial dial;
	struct stream_begun begun;
	struct stream stream;
};

static void on_note(void *ctx, enum letter_id letter, struct bytes params)
{
	struct proxy *p = ctx;

	stream_note(&p->stream, letter, params);
}

static enum err read_arguments(struct proxy *p, struct why *why)
{
	struct cli *c = p->c;
	uint64_t wait = flag_given(c, "wait")->number;
	enum err e;

	p->vm = ssh_machine_of(c, c->args[0], why);
	if (!p->vm)
		return why->code;
	if (parse_u64(c->args[1], &p->dial.port, NULL) || p->dial.port < 1 ||
		p->dial.port > UINT16_MAX)
		return fail_field(why, ERR_invalid_value, "port", "'%.40s' is no port: 1 to 65535",
			c->args[1]);
	if (wait > 60000)
		return fail_field(why, ERR_invalid_value, "wait", "--wait must be at most 1m");
	p->dial.vm = p->vm;
	p->dial.wait_ms = wait;
	p->dial.has_wait_ms = true;
	p->known_hosts = flag_text(c, "known-hosts");
	if (!p->known_hosts)
		return OK;
	e = ssh_find(&p->ssh, why);
	if (!e && flag_text(c, "identity") &&
		!str_copy(p->ssh.key.path, sizeof(p->ssh.key.path), flag_text(c, "identity")))
		e = fail_field(why, ERR_too_large, "identity", "--identity: the path is too long");
	return e;
}

/* The key may log in before ssh asks; a server that is installed may take a while to start. */
static enum err let_in(struct proxy *p, struct why *why)
{
	struct vm_ssh q = { p->vm, p->ssh.public };
	struct vm_ssh_said said;
	enum err e = ssh_key_ready(&p->ssh, why);

	if (!e)
		e = ask(p->c, LETTER_vm_ssh, &q, &said, why);
	if (!e && said.server)
		p->dial.wait_ms =
			MAX(p->dial.wait_ms, (uint64_t)(said.init ? SSH_WAIT_MS : SSH_START_MS));
	return e;
}

/* The server is there, so its keys are made. */
static enum err learn(struct proxy *p, struct why *why)
{
	struct vm_ssh q = { p->vm, NULL };
	struct vm_ssh_said said;
	const char *host = arena_fmt(&p->c->mem, "%s.vm", p->vm);
	enum err e = ask(p->c, LETTER_vm_ssh, &q, &said, why);

	if (!e && !host)
		e = fail(why, ERR_no_memory, "no memory for a name");
	if (e)
		return e;
	if (said.host_keys.n == 0) {
		fail(why, ERR_not_found, "%s has no host keys in /etc/ssh", said.name);
		return fail_hint(why, "`ssh-keygen -A` in the guest makes them");
	}
	return known_hosts_set(p->known_hosts, host, said.host_keys.v, said.host_keys.n, why);
}

static enum err no_server(struct proxy *p, struct why *why)
{
	if (p->known_hosts && why->code == ERR_unavailable)
		return fail_hint(
			why, "no ssh server runs there; `banger vm exec %s` needs none", p->vm);
	return why->code;
}

/* Connects; nothing that comes goes on before both sides' keys are where they belong. */
static enum err connect_to(struct proxy *p, struct why *why)
{
	struct cli *c = p->c;
	enum err e = p->known_hosts ? let_in(p, why) : OK;

	if (e)
		return e;
	stream_init(&p->stream, c->link, &p->begun.stream);
	stream_hold(&p->stream, 1);
	c->link->note = on_note;
	c->link->note_ctx = p;
	if (ask(c, LETTER_vm_dial, &p->dial, &p->begun, why))
		return no_server(p, why);
	return p->known_hosts ? learn(p, why) : OK;
}

/* Until both directions ended. A signal simply ends us; the daemon then hangs up. */
static void pump(struct proxy *p)
{
	struct stream *s = &p->stream;

	stream_output(s, 1, 1);
	stream_input(s, 0);
	while (!s->ended && !p->c->link->gone && !s->out[0].error) {
		loop_turn(p->c->loop, true);
		if (s->out[0].ended && s->out[0].fd >= 0 && stream_flushed(s)) {
			stream_shut(s, 1);
			close(1);
		}
	}
	while (!stream_flushed(s))
		loop_turn(p->c->loop, true);
}

static int verdict(struct proxy *p)
{
	const struct stream *s = &p->stream;
	struct why why = s->why;

	if (s->out[0].error == EPIPE)
		return EXIT_DONE; /* our reader had enough */
	if (s->out[0].error) {
		errno = s->out[0].error;
		fail_errno(&why, "cannot write what the guest sent");
	} else if (s->in.error) {
		errno = s->in.error;
		fail_errno(&why, "cannot read what the guest is to get");
	} else if (!s->ended) {
		why = p->c->link->gone_why;
	}
	return why.code ? report(p->c, &why) : EXIT_DONE;
}

static int run(struct cli *c)
{
	struct proxy p = { .c = c };
	struct why why;
	int code;

	if (read_arguments(&p, &why))
		return report_usage(c, &why);
	c->silent_version = true;
	if (link_open(c, &why))
		return report(c, &why);
	if (connect_to(&p, &why)) {
		code = report(c, &why);
	} else {
		c->spoke = true;
		pump(&p);
		code = verdict(&p);
	}
	c->link->note = NULL;
	stream_close(&p.stream);
	return code;
}

const struct command cmd_vm_proxy = {
	.words = "vm proxy",
	.args = "NAME PORT",
	.least = 2,
	.most = 2,
	.offer = OFFER_VMS,
	.flags = flags,
	.doc = "standard input and output to a TCP port of a guest",
	.more = "Goes through the machine's agent, so it needs no network between host and guest. "
		"NAME.vm is\nunderstood as NAME. This is what ssh connects through: see `banger "
		"ssh-config`.",
	.example = "banger vm proxy web 5432\n"
		   "ssh -o ProxyCommand='banger vm proxy %h %p' root@web.vm",
	.run = run,
};

/*
 * cmd_vm_cp.c - `banger vm cp`: which sides there are; the copying is in copy.c.
 */
#include "base/text.h"
#include "cli/copy.h"
#include "cli/report.h"

static const struct flag flags[] = {
	{ .name = "user", .letter = 'u', .type = &type_user, .value = "USER",
		.doc = "owner of what is made in the guest; root when absent" },
	{ .name = "parents", .doc = "make missing directories above the destination" },
	{ .name = "follow", .letter = 'L', .doc = "copy what a source that is a link points to" },
	{ .name = NULL },
};

/* NAME:PATH is a guest's; anything with a slash before its colon is a file here. */
static enum err parse_side(struct copy *k, const char *word, struct side *ret, struct why *why)
{
	const char *colon = strchr(word, ':');
	size_t n = colon ? (size_t)(colon - word) : 0;
	char *vm;

	if (n == 0 || !is_label(word, n))
		return copy_side(&k->c->mem, NULL, word, ret, why);
	vm = arena_strn(&k->c->mem, word, n);
	return vm ? copy_side(&k->c->mem, vm, colon + 1, ret, why) :
		    fail(why, ERR_no_memory, "no memory for a path");
}

static enum err parse(struct copy *k, struct side *from, struct why *why)
{
	struct cli *c = k->c;
	unsigned n = c->args_n - 1;
	enum err e = parse_side(k, c->args[n], &k->to, why);

	for (unsigned i = 0; !e && i < n; i++) {
		e = parse_side(k, c->args[i], &from[i], why);
		if (!e && !from[i].vm && !k->to.vm)
			e = fail(why, ERR_unsupported, "one side must be a guest's: NAME:PATH");
	}
	k->many = n > 1;
	k->parents = flag_on(c, "parents");
	k->follow = flag_on(c, "follow");
	k->user = flag_text(c, "user");
	return e;
}

static int cp(struct cli *c)
{
	struct interrupts interrupts;
	struct copy k = { .c = c, .interrupts = &interrupts };
	struct side *from = arena_take(&c->mem, c->args_n * sizeof(*from));
	struct why why;
	int code = EXIT_DONE;
	enum err e = from ? parse(&k, from, &why) : fail(&why, ERR_no_memory, "no memory");

	if (e)
		return report_usage(c, &why);
	if (link_open(c, &why))
		return report(c, &why);
	interrupts_start(&interrupts, c->loop);
	for (unsigned i = 0; i + 1 < c->args_n && code == EXIT_DONE; i++) {
		e = copy_one(&k, &from[i], &why);
		if (interrupts.first)
			code = EXIT_SIGNAL + interrupts.first;
		else if (e)
			code = report(c, &why);
	}
	interrupts_stop(&interrupts);
	if (!code && c->json)
		print_document(c, &shape_nothing, &(struct nothing){});
	return code;
}

const struct command cmd_vm_cp = {
	.words = "vm cp",
	.args = "SOURCE... DESTINATION",
	.least = 2,
	.most = UINT32_MAX,
	.offer = OFFER_FILES,
	.flags = flags,
	.doc = "copy files and directories into, out of and between machines",
	.more = "NAME:PATH is a path in a guest; at least one side is. Modes, times, links and "
		"holes are kept; what\nis made belongs to root (or --user) in a guest, to you "
		"here.",
	.example = "banger vm cp ./src web:/root/\n"
		   "banger vm cp web:/var/log/syslog .\n"
		   "banger vm cp web:/srv/data db:/srv/\n"
		   "banger vm cp --user me notes.txt todo.txt web:/home/me",
	.run = cp,
};

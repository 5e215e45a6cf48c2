/*
 * cmd_workspace.c - `banger workspace prepare` (row E1).
 */
#include "base/text.h"
#include "cli/report.h"
#include "cli/space.h"

static const struct flag prepare_flags[] = {
	{ .name = "dest",
		.type = &type_path,
		.value = "DIR",
		.doc = "the guest's directory, beneath the user's home; repo when absent" },
	{ .name = "clean", .doc = "HEAD alone: without what is not committed" },
	{ .name = "dry-run", .letter = 'n', .doc = "only say what would be sent" },
	{ .name = "force", .doc = "also over what was changed in the guest" },
	{ .name = "alternates", .doc = "also when the repository borrows objects of another one" },
	{ .name = NULL },
};

static void print_prepared(const struct prepare *p)
{
	const struct space_prepared *m = &p->said;
	char size[24], time[24];

	show_size(size, sizeof(size), m->bytes);
	show_duration(time, sizeof(time), m->ms);
	printf("%s %llu files (%s)", m->dry_run ? "would send" : "sent",
		(unsigned long long)m->files, size);
	if (m->removed)
		printf(", %s %llu", m->dry_run ? "would remove" : "removed",
			(unsigned long long)m->removed);
	printf(" %s %s:%s in %s\n", m->fresh ? "to" : "into", m->vm, clean(p->c, p->where), time);
}

static int prepare(struct cli *c)
{
	struct interrupts interrupts;
	struct prepare p = { .c = c,
		.interrupts = &interrupts,
		.vm = c->args[0],
		.path = c->args_n > 1 ? c->args[1] : ".",
		.dest = flag_text(c, "dest"),
		.clean = flag_on(c, "clean"),
		.dry_run = flag_on(c, "dry-run"),
		.force = flag_on(c, "force"),
		.alternates = flag_on(c, "alternates") };
	struct why why;
	int code = EXIT_DONE;

	if (type_ok(&type_vm_ref, "vm", p.vm, &why))
		return report_usage(c, &why);
	if (link_open(c, &why))
		return report(c, &why);
	interrupts_start(&interrupts, c->loop);
	if (space_prepare(&p, &why))
		code = interrupts.first ? EXIT_SIGNAL + interrupts.first : report(c, &why);
	else if (c->json)
		print_document(c, &shape_space_prepared, &p.said);
	else
		print_prepared(&p);
	interrupts_stop(&interrupts);
	return code;
}

const struct command cmd_workspace_prepare = {
	.words = "workspace prepare",
	.args = "VM [PATH]",
	.least = 1,
	.most = 2,
	.offer = OFFER_VMS,
	.flags = prepare_flags,
	.doc = "put a git repository into a machine, or what has changed of it",
	.more = "Sends history, index and working tree as they are: commits, staged and unstaged "
		"changes, and\nuntracked files that are neither ignored, nor matched by "
		".bangerignore, "
		"nor look like secrets\n(.env*, keys, credentials); those that go are shown first. "
		"Nothing of the repository is run\nhere, and the guest needs no git. A second "
		"prepare "
		"sends what differs, and is refused where\nthe guest changed the same files.",
	.example = "banger workspace prepare web\n"
		   "banger workspace prepare web ~/src/site --dest /srv/site\n"
		   "banger workspace prepare --dry-run web .",
	.run = prepare,
};

/*
 * doctor_explain.c - `banger doctor --explain VM`: every resource of the host that belongs to a
 * machine, with who made it and why it lives (row B9).
 */
#include "cli/doctor.h"
#include "cli/link.h"
#include "cli/report.h"

static void print(struct cli *c, const struct vm_explained *x)
{
	static const char *const heads[] = { "KIND", "NAME", "THERE", "BYTES", "MADE BY", "WHY",
		"MORE" };
	struct grid g;

	line_text(c, "machine", "%s (%s), %s%s%s", x->vm.name, x->vm.id,
		word_of(vm_state, x->vm.state), x->vm.reason ? ", " : "",
		x->vm.reason ? x->vm.reason : "");
	grid_init(&g, c, heads, COUNT(heads));
	for (uint32_t i = 0; i < x->resources.n; i++) {
		const struct resource *r = &x->resources.v[i];

		grid_cell(&g, PLAIN, "%s", r->kind);
		grid_cell(&g, PLAIN, "%s", r->name);
		grid_cell(&g, r->there ? PLAIN : YELLOW, "%s", r->there ? "yes" : "no");
		grid_size(&g, r->has_bytes, r->bytes);
		grid_cell(&g, PLAIN, "%s", r->maker);
		grid_cell(&g, PLAIN, "%s", r->why);
		grid_cell(&g, PLAIN, "%s", r->detail ? r->detail : "");
	}
	grid_print(&g);
	if (x->helper_why)
		note(c, "the root helper's ledger is not among them: %s", x->helper_why);
}

int doctor_explain(struct cli *c, const char *vm)
{
	struct vm_explain q = { vm };
	struct vm_explained x;
	struct why why;

	if (ask(c, LETTER_vm_explain, &q, &x, &why))
		return report(c, &why);
	if (c->json)
		print_document(c, &shape_vm_explained, &x);
	else
		print(c, &x);
	return EXIT_DONE;
}

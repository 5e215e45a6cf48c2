/*
 * preflight.c - several problems of one command: collected, then said at once.
 */
#include "cli/preflight.h"

#include "cli/json.h"
#include "cli/link.h"
#include "cli/report.h"

void preflight_add(struct preflight *p, const struct why *why)
{
	for (unsigned i = 0; i < p->n; i++)
		if (str_eq(p->v[i].text, why->text))
			return;
	if (p->n < PREFLIGHT_MAX)
		p->v[p->n++] = *why;
}

void preflight_ask(struct preflight *p, const struct vm_preflight *q)
{
	struct vm_preflight_said said;
	struct why why;

	if (p->c->link && p->c->link->gone)
		return;
	if (ask(p->c, LETTER_vm_preflight, q, &said, &why))
		return; /* an older daemon, or one that has worse to do */
	for (uint32_t i = 0; i < said.problems.n; i++) {
		why_of(&said.problems.v[i], &why);
		preflight_add(p, &why);
	}
}

static int report_json(struct preflight *p)
{
	json_t *doc = json_of_error(&p->v[0]), *all = json_array();

	for (unsigned i = 0; i < p->n; i++) {
		json_t *one = json_of_error(&p->v[i]);

		json_add(&all, json_incref(json_object_get(one, "error")));
		json_decref(one);
	}
	if (json_object_get(doc, "error") && all)
		json_object_set_new(json_object_get(doc, "error"), "problems", all);
	json_print(p->c, doc);
	return report_code(p->c);
}

int preflight_report(struct preflight *p)
{
	int code = EXIT_DONE;

	if (p->n > 1 && p->c->json)
		return report_json(p);
	for (unsigned i = 0; i < p->n; i++)
		code = report(p->c, &p->v[i]);
	return code;
}

int report_with_all(struct cli *c, const struct why *why, const struct vm_preflight *q)
{
	struct preflight *p = arena_take(&c->mem, sizeof(*p));

	if (!p)
		return report(c, why);
	*p = (struct preflight){ .c = c };
	preflight_add(p, why);
	preflight_ask(p, q);
	return preflight_report(p);
}

/*
 * privdoc.c - prints docs/privileges.md from the letters of proto/priv.def and the table of verbs,
 * so that no gate is written down twice: `make docs`.
 */
#include "helper/call.h"
#include "tests/tools/privdoc_text.h"

static const struct verb *verb_of(enum letter_id id)
{
	const struct verb *v = verbs;

	while (v->act && v->id != id)
		v++;
	return v->act ? v : NULL;
}

/* Text of a table's cell: a bar would end it. */
static void cell(const char *s)
{
	for (; *s; s++) {
		if (*s == '|')
			putchar('\\');
		putchar(*s);
	}
}

static void print_fields(const struct shape *s, const char *inside)
{
	for (uint32_t i = 0; i < s->count; i++) {
		const struct field *f = &s->fields[i];
		bool may = f->op == OPT || f->op == MAY || f->op == OPTSUB ||
			   ((f->op == LIST || f->op == MANY) && f->lo == 0);
		char name[128];

		snprintf(name, sizeof(name), "%s%s%s", inside, f->name,
			f->op == MANY || f->op == LIST ? "[]" : "");
		printf("| `%s`%s | ", name, may ? ", optional" : "");
		cell(f->type ? f->type->doc : "");
		printf(" | ");
		cell(f->doc);
		printf(" |\n");
		if (f->sub) {
			snprintf(name + strlen(name), sizeof(name) - strlen(name), ".");
			print_fields(f->sub, name);
		}
	}
}

static void print_method(const struct letter_kind *k, const struct verb *v)
{
	printf("\n### %s\n\n%s.\n\n", k->method, k->doc);
	if (k->in->count) {
		printf("| field | its type lets pass | meaning |\n|---|---|---|\n");
		print_fields(k->in, "");
		printf("\n");
	}
	if (v)
		printf("Gate: %s.\n", v->gate);
	else
		printf("Not served by this build: refused as an unknown method.\n");
}

int main(void)
{
	printf("%s", text_head);
	for (unsigned i = 0; i < LETTER_COUNT; i++)
		if (strncmp(letter_kinds[i].method, "priv.", 5) == 0)
			print_method(&letter_kinds[i], verb_of(i));
	printf("%s", text_network);
	return fflush(stdout) ? 1 : 0;
}

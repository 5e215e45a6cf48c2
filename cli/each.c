/*
 * each.c - the same letter for several things, pipelined on one connection.
 */
#include "cli/each.h"

#include "base/text.h"
#include "cli/json.h"
#include "cli/op.h"
#include "cli/ssh.h"

/* A bad name is that name's failure and no other's. */
static enum err body_for(struct each *s, const char *name, void *body, struct why *why)
{
	const struct shape *in = letter_kinds[s->letter].in;
	const struct field *f = shape_field(in, s->field);
	enum err e;

	must(f);
	e = type_ok(f->type, f->name, name, why);
	*(const char **)(void *)((uint8_t *)body + f->off) = name;
	f = shape_field(in, "ssh_key");
	if (!e && f)
		*(const char **)(void *)((uint8_t *)body + f->off) = ssh_key_for_letters(s->c);
	return e ? e : flags_fill(s->c, in, body, why);
}

/* Stages of a single machine are shown; those of several would be a jumble. */
static void wait_all(struct each *s)
{
	struct link *l = s->c->link;
	struct op op;

	if (s->n != 1) {
		call_all(l, s->calls, s->n);
		return;
	}
	op_init(&op, s->c, NULL);
	op_hear(&op);
	call_all(l, s->calls, s->n);
	op_unheard(&op);
	op_close(&op);
	if (s->calls[0].why.code)
		op_blame(&op, &s->calls[0].why);
}

int each_ask(struct each *s, struct cli *c, enum letter_id letter, const char *field)
{
	return each_ask_names(s, c, letter, field, c->args, c->args_n);
}

int each_ask_names(struct each *s, struct cli *c, enum letter_id letter, const char *field,
	const char *const *names, unsigned n)
{
	const struct letter_kind *k = &letter_kinds[letter];
	size_t body_n = MAX(k->in->size, 1u), result_n = MAX(k->out->size, 1u);
	struct why why;
	uint8_t *bodies;

	*s = (struct each){ .c = c, .letter = letter, .field = field, .names = names, .n = n };
	bodies = arena_take(&c->mem, MAX(n, 1u) * body_n);
	s->results = arena_take(&c->mem, MAX(n, 1u) * result_n);
	s->calls = arena_take(&c->mem, MAX(n, 1u) * sizeof(*s->calls));
	if (!bodies || !s->results || !s->calls) {
		fail(&why, ERR_no_memory, "no memory for %u names", n);
		return report(c, &why);
	}
	if (link_open(c, &why))
		return report(c, &why);
	for (unsigned i = 0; i < n; i++) {
		struct call *call = &s->calls[i];
		void *body = bodies + i * body_n;

		*call = (struct call){
			.letter = letter, .body = body, .result = s->results + i * k->out->size
		};
		if (body_for(s, names[i], body, &call->why))
			call->done = true;
	}
	wait_all(s);
	return 0;
}

int each_failures(struct each *s)
{
	int code = EXIT_DONE;

	for (unsigned i = 0; i < s->n; i++) {
		struct why why = s->calls[i].why;
		char text[sizeof(why.text)];

		if (why.code == OK)
			continue;
		if (s->n > 1 && !strstr(why.text, s->names[i])) {
			str_copy(text, sizeof(text), why.text);
			snprintf(why.text, sizeof(why.text), "%.63s: %.330s", s->names[i], text);
		}
		code = report(s->c, &why);
	}
	return code;
}

static json_t *document(struct each *s, unsigned i, const char *list)
{
	json_t *doc, *inner;

	if (!each_good(s, i))
		return json_of_error(&s->calls[i].why);
	doc = json_of(letter_kinds[s->letter].out, each_result(s, i));
	inner = list && s->n == 1 ? json_object_get(doc, list) : NULL;
	if (inner) {
		json_incref(inner);
		json_decref(doc);
		doc = inner;
	}
	return doc;
}

static json_t *element(struct each *s, unsigned i, const char *list)
{
	json_t *doc = document(s, i, list), *all;

	if (json_object_get(doc, s->field)) /* it names itself */
		return doc;
	all = json_object();
	json_set(&all, s->field, json_string(s->names[i]));
	if (all && (!doc || json_object_update_missing(all, doc))) {
		json_decref(all);
		all = NULL;
	}
	json_decref(doc);
	return all;
}

int each_json(struct each *s, const char *list)
{
	int code = EXIT_DONE;
	json_t *all;

	for (unsigned i = 0; i < s->n; i++)
		if (!each_good(s, i))
			code = EXIT_REFUSED;
	if (s->n == 1) {
		json_print(s->c, document(s, 0, list));
		return code;
	}
	all = json_array();
	for (unsigned i = 0; i < s->n; i++)
		json_add(&all, element(s, i, list));
	json_print(s->c, all);
	return code;
}

int each_names(struct each *s)
{
	if (s->c->json)
		return each_json(s, NULL);
	for (unsigned i = 0; i < s->n; i++)
		if (each_good(s, i))
			printf("%s\n", s->names[i]);
	return each_failures(s);
}

int act_on_names(struct cli *c, enum letter_id letter, const char *field)
{
	struct each s;
	int code = each_ask(&s, c, letter, field);

	return code ? code : each_names(&s);
}

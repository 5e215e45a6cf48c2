/*
 * flags.c - what handlers ask of the parsed line, and flags into the fields of a letter.
 */
#include "base/text.h"
#include "cli/cli.h"

const struct given *flag_given(const struct cli *c, const char *name)
{
	const struct flag *f = c->command->flags;

	for (unsigned i = 0; f && f[i].name; i++)
		if (str_eq(f[i].name, name))
			return &c->given[i];
	must(!"a handler asks for a flag that its row does not have");
	return NULL;
}

bool flag_on(const struct cli *c, const char *name)
{
	return flag_given(c, name)->set;
}

const char *flag_text(const struct cli *c, const char *name)
{
	return flag_given(c, name)->text;
}

static const struct field *field_of(const struct shape *s, const char *flag)
{
	for (uint32_t i = 0; i < s->count; i++) {
		const char *a = s->fields[i].name, *b = flag;

		while (*a && (*a == *b || (*a == '_' && *b == '-'))) {
			a++;
			b++;
		}
		/* --timeout fills timeout_ms: the flag's value carries the unit */
		if (!*b && (!*a || str_eq(a, "_ms")))
			return &s->fields[i];
	}
	return NULL;
}

static enum err in_range(const struct flag *flag, const struct field *f, uint64_t v,
	struct why *why)
{
	char least[32], most[32];

	if ((!f->lo && !f->hi) || (v >= (uint64_t)f->lo && v <= f->hi))
		return OK;
	snprintf(least, sizeof(least), "%llu", (unsigned long long)f->lo);
	snprintf(most, sizeof(most), "%llu", (unsigned long long)f->hi);
	if (f->type == &type_size) {
		show_size(least, sizeof(least), (uint64_t)f->lo);
		show_size(most, sizeof(most), f->hi);
	} else if (f->type == &type_ms) {
		show_duration(least, sizeof(least), (uint64_t)f->lo);
		show_duration(most, sizeof(most), f->hi);
	}
	return fail_field(why, ERR_invalid_value, flag->name, "--%s must be %s to %s", flag->name,
		least, most);
}

static enum err fill(const struct flag *flag, const struct given *g, const struct field *f,
	void *obj, struct why *why)
{
	void *p = (uint8_t *)obj + f->off;

	if (f->op == LIST) {
		*(struct any_list *)p = (struct any_list){ g->all, g->all_n };
		return OK;
	}
	if (f->op == MAY)
		*(bool *)((uint8_t *)obj + f->has_off) = true;
	switch (f->type->base) {
	case BASE_BOOL:
		*(bool *)p = true;
		return OK;
	case BASE_U64:
		*(uint64_t *)p = g->number;
		return in_range(flag, f, g->number, why);
	case BASE_ENUM:
		*(int *)p = (int)g->number;
		return OK;
	case BASE_STR:
	case BASE_OSSTR:
		*(const char **)p = g->text;
		return OK;
	case BASE_I64:
	case BASE_BIN:
		break;
	}
	return fail(why, ERR_internal, "--%s cannot be sent", flag->name);
}

enum err flags_fill(struct cli *c, const struct shape *s, void *obj, struct why *why)
{
	const struct flag *flag = c->command->flags;
	enum err e = OK;

	for (unsigned i = 0; !e && flag && flag[i].name; i++) {
		const char *name = flag[i].field ? flag[i].field : flag[i].name;
		const struct field *f = c->given[i].set ? field_of(s, name) : NULL;

		if (f)
			e = fill(&flag[i], &c->given[i], f, obj, why);
	}
	return e;
}

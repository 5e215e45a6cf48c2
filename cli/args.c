/*
 * args.c - the parser, driven by the list of commands.
 *
 * Flags stand anywhere before "--", also before the command's words; `--flag value`,
 * `--flag=value`, `-f value`, `-fvalue`, and `-tn` for several without values. Every value is
 * checked by its type here, so that a typing error ends before anything is asked of the daemon.
 */
#include "cli/args.h"

#include "base/text.h"

const struct flag global_flags[] = {
	{ .name = "json", .doc = "print one JSON document (events and progress: one a line)" },
	{ .name = "quiet", .letter = 'q', .doc = "print less: bare names in lists, no reminders" },
	{ .name = "progress", .doc = "show stages on stderr also where that is no terminal" },
	{ .name = "no-color", .doc = "no colours; NO_COLOR does the same" },
	{ .name = "socket", .type = &type_path, .value = "PATH", .offer = OFFER_FILES,
		.doc = "talk to the daemon on this socket; never start one" },
	{ .name = "help", .letter = 'h', .doc = "what the command does, with an example" },
	{ .name = "version", .doc = "which build this is" },
	{ .name = NULL },
};

struct line {
	struct cli *c;
	char **at, **end;
	const char *words[2];
	unsigned words_n;
	struct why *why;
};

const struct command *command_by_words(const char *const *words, unsigned n)
{
	char both[96];

	snprintf(both, sizeof(both), n > 1 ? "%s %s" : "%s", words[0], n > 1 ? words[1] : "");
	for (unsigned i = 0; all_commands[i]; i++)
		if (str_eq(all_commands[i]->words, both))
			return all_commands[i];
	return NULL;
}

/* Why the words name no command, with the nearest that does. */
static enum err no_command(struct line *l)
{
	const char *group = l->words_n > 1 ? l->words[0] : NULL, *near;
	const char *names[64];
	size_t n = 0, skip = group ? strlen(group) + 1 : 0;
	char first[64][24];

	for (unsigned i = 0; all_commands[i] && n < COUNT(names); i++) {
		const struct command *k = all_commands[i];

		if (k->traits & HIDDEN)
			continue;
		if (group && (strncmp(k->words, group, skip - 1) != 0 || k->words[skip - 1] != ' '))
			continue;
		snprintf(first[n], sizeof(first[n]), "%s", k->words + skip);
		first[n][strcspn(first[n], " ")] = '\0';
		names[n] = first[n];
		n++;
	}
	fail(l->why, ERR_unknown_method, "there is no command '%.60s%s%.60s'", l->words[0],
		group ? " " : "", group ? l->words[1] : "");
	near = nearest(l->words[l->words_n - 1], names, n);
	if (near)
		return fail_hint(l->why, "did you mean 'banger %s%s%s'?", group ? group : "",
			group ? " " : "", near);
	return fail_hint(l->why, "banger help%s%s", group ? " " : "", group ? group : "");
}

static const struct flag *find_in(const struct flag *list, const char *name, size_t n, char letter)
{
	for (; list && list->name; list++) {
		if (letter ? list->letter == letter :
			     strlen(list->name) == n && memcmp(list->name, name, n) == 0)
			return list;
	}
	return NULL;
}

static enum err no_flag(struct line *l, const char *shown, size_t n)
{
	const struct flag *own = l->c->command ? l->c->command->flags : NULL;
	const char *names[FLAGS_MAX + COUNT(global_flags)], *near;
	char word[48];
	size_t count = 0;

	for (; own && own->name && count < FLAGS_MAX; own++)
		names[count++] = own->name;
	for (unsigned i = 0; global_flags[i].name; i++)
		names[count++] = global_flags[i].name;
	fail(l->why, ERR_unknown_field, "%s%s%s knows no flag '%.*s'", "banger",
		l->c->command ? " " : "", l->c->command ? l->c->command->words : "",
		(int)MIN(n, (size_t)60), shown);
	snprintf(word, sizeof(word), "%.*s", (int)MIN(n, sizeof(word) - 1), shown);
	near = word[0] == '-' && word[1] == '-' ? nearest(word + 2, names, count) : NULL;
	if (near)
		return fail_hint(l->why, "did you mean --%s?", near);
	return fail_hint(l->why, "banger help%s%s", l->c->command ? " " : "",
		l->c->command ? l->c->command->words : "");
}

/* Sizes, durations and words; bare numbers of a duration are seconds. */
enum err value_parse(const struct type *t, const char *name, const char *s, uint64_t *number,
	struct why *why)
{
	enum err e = OK;
	int word;

	*number = 0;
	switch (t->base) {
	case BASE_U64:
		e = t == &type_size ? parse_size(s, number, why) :
		    t == &type_ms   ? parse_duration(s, number, why) :
				      parse_u64(s, number, why);
		if (!e && (*number < (uint64_t)t->lo || *number > t->hi))
			e = fail(why, ERR_invalid_value, "'%.40s' is out of range", s);
		break;
	case BASE_ENUM:
		word = type_enum(t, s);
		*number = (uint64_t)word;
		if (word < 0) {
			const char *near = nearest(s, t->names, t->names_n);

			fail(why, ERR_invalid_value, "'%.40s' is not one of its words", s);
			e = near ? fail_hint(why, "did you mean '%s'?", near) : ERR_invalid_value;
		}
		break;
	case BASE_STR:
	case BASE_OSSTR:
		return type_ok(t, name, s, why);
	case BASE_BOOL:
	case BASE_I64:
	case BASE_BIN:
		e = fail(why, ERR_internal, "a flag of such a type cannot be given");
		break;
	}
	if (e && why)
		snprintf(why->field, sizeof(why->field), "%s", name);
	return e;
}

static enum err take_global(struct line *l, const struct flag *f, const char *value)
{
	struct cli *c = l->c;

	switch (f - global_flags) {
	case 0:
		c->json = true;
		break;
	case 1:
		c->quiet = true;
		break;
	case 2:
		c->progress = true;
		break;
	case 3:
		c->out_color = c->err_color = false;
		break;
	case 4:
		c->socket = value;
		break;
	case 5:
		c->help = true;
		break;
	case 6:
		c->version = true;
		break;
	default:
		must(!"a global flag without a case");
	}
	return OK;
}

static enum err take_flag(struct line *l, const struct flag *f, const char *value)
{
	struct given *g;
	enum err e;

	if (f >= global_flags && f < global_flags + COUNT(global_flags))
		return take_global(l, f, value);
	g = &l->c->given[f - l->c->command->flags];
	if (g->set && !f->many && f->type)
		return fail_field(l->why, ERR_invalid_value, f->name, "--%s is given twice",
			f->name);
	g->set = true;
	if (!f->type)
		return OK;
	e = value_parse(f->type, f->name, value, &g->number, l->why);
	if (e) {
		char text[200];

		str_copy(text, sizeof(text), l->why->text);
		snprintf(l->why->text, sizeof(l->why->text), "--%s: %s", f->name, text);
		return e;
	}
	g->text = value;
	if (!f->many)
		return OK;
	if (!g->all) /* there are at most as many as words are left on the line */
		g->all = arena_take(&l->c->mem, sizeof(*g->all) * (size_t)(l->end - l->at + 2));
	if (!g->all)
		return fail(l->why, ERR_no_memory, "no memory for --%s", f->name);
	g->all[g->all_n++] = value;
	return OK;
}

/* The next word as the flag's value. */
static enum err next_value(struct line *l, const struct flag *f, const char **ret)
{
	if (l->at == l->end)
		return fail_field(l->why, ERR_missing_field, f->name, "--%s needs a value: --%s %s",
			f->name, f->name, f->value);
	*ret = *l->at++;
	return OK;
}

static enum err long_flag(struct line *l, const char *word)
{
	const char *eq = strchr(word, '='), *value = eq ? eq + 1 : NULL;
	size_t n = eq ? (size_t)(eq - word) : strlen(word);
	const struct flag *own = l->c->command ? l->c->command->flags : NULL;
	const struct flag *f = find_in(own, word + 2, n - 2, 0);
	enum err e;

	if (!f)
		f = find_in(global_flags, word + 2, n - 2, 0);
	if (!f)
		return no_flag(l, word, n);
	if (eq && !f->type)
		return fail_field(l->why, ERR_invalid_value, f->name, "--%s takes no value",
			f->name);
	if (f->type && !eq) {
		e = next_value(l, f, &value);
		if (e)
			return e;
	}
	return take_flag(l, f, value);
}

static enum err short_flags(struct line *l, const char *word)
{
	const struct flag *own = l->c->command ? l->c->command->flags : NULL;
	enum err e = OK;

	for (const char *s = word + 1; !e && *s; s++) {
		const struct flag *f = find_in(own, NULL, 0, *s);
		const char *value = NULL;

		if (!f)
			f = find_in(global_flags, NULL, 0, *s);
		if (!f)
			return no_flag(l, word, strlen(word));
		if (!f->type) {
			e = take_flag(l, f, NULL);
			continue;
		}
		if (s[1])
			value = s[1] == '=' ? s + 2 : s + 1;
		else
			e = next_value(l, f, &value);
		return e ? e : take_flag(l, f, value);
	}
	return e;
}

static enum err take_word(struct line *l, const char *word)
{
	struct cli *c = l->c;

	if (c->command) {
		c->args[c->args_n++] = word;
		return OK;
	}
	l->words[l->words_n++] = word;
	c->command = command_by_words(l->words, l->words_n);
	if (c->command || (l->words_n == 1 && group_doc(word)))
		return OK;
	return no_command(l);
}

/* Help wins over everything else that is wrong with the line. */
static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && !str_eq(argv[i], "--"); i++)
		if (str_eq(argv[i], "-h") || str_eq(argv[i], "--help"))
			return true;
	return false;
}

/* The command that help is about: the first words of the line. */
static void help_words(struct line *l, int argc, char **argv)
{
	for (int i = 1; i < argc && l->words_n < 2 && !l->c->command; i++) {
		if (str_eq(argv[i], "--"))
			break;
		if (argv[i][0] == '-')
			continue;
		l->words[l->words_n++] = argv[i];
		l->c->command = command_by_words(l->words, l->words_n);
	}
	l->c->help = true;
	l->c->args = arena_take(&l->c->mem, 2 * sizeof(*l->c->args));
	if (!l->c->args)
		return;
	for (unsigned i = 0; i < l->words_n; i++)
		l->c->args[l->c->args_n++] = l->words[i];
}

static enum err check_count(struct line *l)
{
	const struct command *k = l->c->command;

	if (l->c->version)
		return OK;
	if (!k) {
		if (l->words_n == 0) {
			fail(l->why, ERR_missing_field, "a command is missing");
			return fail_hint(l->why, "banger help");
		}
		fail(l->why, ERR_missing_field, "'banger %s' needs a command behind it",
			l->words[0]);
		return fail_hint(l->why, "banger help %s", l->words[0]);
	}
	if (l->c->args_n < k->least)
		fail(l->why, ERR_missing_field, "'banger %s' needs %s", k->words, k->args);
	else if (l->c->args_n > k->most)
		fail(l->why, ERR_invalid_value, "'banger %s' does not take '%.60s'", k->words,
			l->c->args[k->most]);
	else if (l->c->has_tail && !(k->traits & TAIL))
		fail(l->why, ERR_invalid_value, "'banger %s' takes no command behind --", k->words);
	else if (l->c->has_tail && l->c->tail_n == 0)
		fail(l->why, ERR_missing_field, "a command is missing behind --");
	else
		return OK;
	if (l->c->args_n > k->most && (k->traits & TAIL))
		return fail_hint(l->why, "put -- before the program that is to run");
	return fail_hint(l->why, "banger help %s", k->words);
}

enum err args_parse(struct cli *c, int argc, char **argv, struct why *why)
{
	struct line l = { .c = c, .at = argv + 1, .end = argv + argc, .why = why };
	enum err e = OK;

	if (argc < 1)
		l.at = l.end;
	if (wants_help(argc, argv)) {
		help_words(&l, argc, argv);
		return OK;
	}
	c->args = arena_take(&c->mem, sizeof(*c->args) * (size_t)(MAX(argc, 1) + 1));
	if (!c->args)
		return fail(why, ERR_no_memory, "no memory for %d arguments", argc);
	while (!e && l.at < l.end) {
		const char *word = *l.at++;

		if (str_eq(word, "--")) {
			c->has_tail = true;
			c->tail = (const char **)(void *)l.at;
			c->tail_n = (unsigned)(l.end - l.at);
			break;
		}
		if (strncmp(word, "--", 2) == 0)
			e = long_flag(&l, word);
		else if (word[0] == '-' && word[1])
			e = short_flags(&l, word);
		else
			e = take_word(&l, word);
	}
	return e ? e : check_count(&l);
}

/*
 * help.c - every page of help comes from the rows that the parser uses.
 */
#include "cli/help.h"

#include "cli/args.h"
#include "cli/report.h"

static bool in_group(const struct command *k, const char *group)
{
	size_t n = strlen(group);

	return strncmp(k->words, group, n) == 0 && k->words[n] == ' ';
}

static void list_group(FILE *f, const char *group)
{
	for (unsigned i = 0; all_commands[i]; i++)
		if (in_group(all_commands[i], group))
			fprintf(f, "  %-17s %s\n", all_commands[i]->words, all_commands[i]->doc);
}

/* The first word of a command that belongs to a group, else "". */
static void group_of(const struct command *k, char *ret, size_t size)
{
	snprintf(ret, size, "%s", k->words);
	ret[strcspn(ret, " ")] = '\0';
	if (!group_doc(ret))
		ret[0] = '\0';
}

static void overview(FILE *f)
{
	char group[24] = "?", now[24];

	fputs("banger - disposable Linux machines\n\n"
	      "usage: banger COMMAND [FLAGS] [ARGUMENTS] [-- CMD...]\n",
		f);
	for (unsigned i = 0; all_commands[i]; i++) {
		const struct command *k = all_commands[i];

		if (k->traits & HIDDEN)
			continue;
		group_of(k, now, sizeof(now));
		if (!str_eq(now, group))
			fprintf(f, "\n%s:\n", now[0] ? group_doc(now) : "more");
		memcpy(group, now, sizeof(group));
		fprintf(f, "  %-17s %s\n", k->words, k->doc);
	}
	fputs("\nEvery command answers --help with an example, and takes --json.\n"
	      "Exit codes: 0 done, 1 refused or failed, 2 usage, 3 daemon unreachable; of vm run,\n"
	      "vm exec and vm ssh: the program's own, 125 when banger failed.\n",
		f);
}

static void flag_line(FILE *f, const struct flag *flag)
{
	char left[64];
	int n = snprintf(left, sizeof(left), "  %c%c%s--%s%s%s", flag->letter ? '-' : ' ',
		flag->letter ? flag->letter : ' ', flag->letter ? ", " : "  ", flag->name,
		flag->type ? " " : "", flag->type ? flag->value : "");

	if (n > 26)
		fprintf(f, "%s\n%28s%s\n", left, "", flag->doc);
	else
		fprintf(f, "%-26s  %s\n", left, flag->doc);
}

static void example(FILE *f, const char *lines)
{
	while (*lines) {
		size_t n = strcspn(lines, "\n");

		fprintf(f, "  %.*s\n", (int)n, lines);
		lines += n + (lines[n] == '\n');
	}
}

/* Lines that are too long for a terminal go on in the next one. */
static void wrapped(FILE *f, const char *text)
{
	enum { WIDTH = 98 };

	while (*text) {
		size_t n = strcspn(text, "\n"), cut = n;

		if (n > WIDTH)
			for (cut = WIDTH; cut > 0 && text[cut] != ' '; cut--)
				;
		if (cut == 0)
			cut = n;
		fprintf(f, "%.*s\n", (int)cut, text);
		text += cut + (text[cut] == ' ' || text[cut] == '\n');
	}
}

static void page(FILE *f, const struct command *k)
{
	fprintf(f, "banger %s - %s\n\nusage: banger %s%s%s%s\n", k->words, k->doc, k->words,
		k->flags ? " [FLAGS]" : "", k->args[0] ? " " : "", k->args);
	if (k->more) {
		fputc('\n', f);
		wrapped(f, k->more);
	}
	if (k->flags)
		fputs("\nflags:\n", f);
	for (const struct flag *flag = k->flags; flag && flag->name; flag++)
		flag_line(f, flag);
	fputs("\nflags of every command:\n", f);
	for (const struct flag *flag = global_flags; flag->name; flag++)
		flag_line(f, flag);
	fputs("\nexample:\n", f);
	example(f, k->example);
}

bool help_print(FILE *f, const char *const *words, unsigned n)
{
	const struct command *k = NULL;

	if (n == 0) {
		overview(f);
		return true;
	}
	for (unsigned i = MIN(n, 2u); i > 0 && !k; i--)
		k = command_by_words(words, i);
	if (k) {
		page(f, k);
		return true;
	}
	if (!group_doc(words[0]) || n > 1)
		return false;
	fprintf(f, "banger %s - %s\n\nusage: banger %s COMMAND [FLAGS] [ARGUMENTS]\n\n", words[0],
		group_doc(words[0]), words[0]);
	list_group(f, words[0]);
	return true;
}

static int help(struct cli *c)
{
	struct why why;

	if (help_print(stdout, c->args, c->args_n))
		return EXIT_DONE;
	fail(&why, ERR_not_found, "there is no command '%.60s%s%.60s'", c->args[0],
		c->args_n > 1 ? " " : "", c->args_n > 1 ? c->args[1] : "");
	fail_hint(&why, "banger help");
	return report_usage(c, &why);
}

const struct command cmd_help = {
	.words = "help",
	.args = "[COMMAND]",
	.most = 2,
	.offer = OFFER_NOTHING,
	.doc = "what there is, or what one command does",
	.example = "banger help\nbanger help vm run",
	.run = help,
};

/*
 * man.c - the man pages, made from the list of commands: banger(1), and one for each command.
 *
 * `make install` lets the program write them; nobody else needs that command.
 */
#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/build.h"

#include "cli/args.h"
#include "cli/help.h"
#include "cli/report.h"

enum { NAME_BYTES = 80 };

static const char about[] =
	"gives a clean Linux virtual machine with a repository in it, runs a command there,\n"
	"hands back its output and exit code, and leaves nothing behind. Machines are\n"
	"Firecracker or QEMU microVMs, made by the daemon bangerd, which is started when it\n"
	"is wanted.";

/* Text as it stands: nothing in it is roff. */
static void plain(FILE *f, const char *text, size_t n)
{
	bool first = true;

	for (size_t i = 0; i < n; i++) {
		if (first && (text[i] == '.' || text[i] == '\''))
			fputs("\\&", f);
		if (text[i] == '\\')
			fputs("\\e", f);
		else if (text[i] == '-')
			fputs("\\-", f);
		else
			fputc(text[i], f);
		first = text[i] == '\n';
	}
}

static void word(FILE *f, const char *text)
{
	plain(f, text, strlen(text));
}

/* Lines that begin with a blank are shown as they are; an empty one parts paragraphs. */
static void paragraphs(FILE *f, const char *text)
{
	bool table = false;

	while (*text) {
		size_t n = strcspn(text, "\n");
		bool now = text[0] == ' ' || text[0] == '\t';

		if (now != table)
			fputs(now ? ".PP\n.nf\n" : ".fi\n", f);
		table = now;
		if (n == 0)
			fputs(".PP", f);
		plain(f, text, n);
		fputc('\n', f);
		text += n + (text[n] == '\n');
	}
	if (table)
		fputs(".fi\n", f);
}

static void flag_entry(FILE *f, const struct flag *flag)
{
	fputs(".TP\n.B ", f);
	if (flag->letter)
		fprintf(f, "\\-%c\\fR, \\fB", flag->letter);
	fputs("\\-\\-", f);
	word(f, flag->name);
	if (flag->type) {
		fputs("\\fR \\fI", f);
		word(f, flag->value);
		fputs("\\fR", f);
	}
	fputc('\n', f);
	word(f, flag->doc);
	fputc('\n', f);
}

static void flags(FILE *f, const char *title, const struct flag *flag)
{
	if (!flag)
		return;
	fprintf(f, ".SH %s\n", title);
	for (; flag->name; flag++)
		flag_entry(f, flag);
}

/* "banger-vm-run" of "vm run"; "banger" of none. */
static void page_name(const struct command *k, char ret[NAME_BYTES])
{
	snprintf(ret, NAME_BYTES, "banger%s%s", k ? "-" : "", k ? k->words : "");
	for (char *p = ret; *p; p++)
		if (*p == ' ')
			*p = '-';
}

static void head(FILE *f, const struct command *k, const char *doc)
{
	time_t built = (time_t)(build_time_ms / 1000);
	char name[NAME_BYTES], day[16];
	struct tm tm;

	page_name(k, name);
	strftime(day, sizeof(day), "%Y-%m-%d", gmtime_r(&built, &tm));
	fputs(".TH ", f);
	for (const char *p = name; *p; p++)
		fputc(toupper((unsigned char)*p), f);
	fprintf(f, " 1 %s \"banger %s\" \"banger\"\n.SH NAME\n", day, build_version);
	word(f, name);
	fputs(" \\- ", f);
	word(f, doc);
	fputs("\n.SH SYNOPSIS\n.B banger", f);
}

static void exit_codes(FILE *f)
{
	fputs(".SH EXIT STATUS\n0 done, 1 refused or failed, 2 usage, 3 daemon unreachable; of\n"
	      ".BR banger\\-vm\\-run (1),\n.BR banger\\-vm\\-exec (1)\nand\n"
	      ".BR banger\\-vm\\-ssh (1):\n"
	      "the program's own, 128+n for a signal, 125 when banger itself failed.\n",
		f);
}

static void command_page(FILE *f, const struct command *k)
{
	head(f, k, k->doc);
	fputc(' ', f);
	word(f, k->words);
	fprintf(f, "\\fR%s", k->flags ? " [\\fIFLAGS\\fR]" : "");
	fputs(k->args[0] ? " " : "", f);
	word(f, k->args);
	fputs("\n.SH DESCRIPTION\n", f);
	fputc(toupper((unsigned char)k->doc[0]), f);
	word(f, k->doc + 1);
	fputs(".\n", f);
	if (k->more) {
		fputs(".PP\n", f);
		paragraphs(f, k->more);
	}
	flags(f, "FLAGS", k->flags);
	flags(f, "FLAGS OF EVERY COMMAND", global_flags);
	exit_codes(f);
	fputs(".SH EXAMPLES\n.nf\n", f);
	word(f, k->example);
	fputs("\n.fi\n.SH SEE ALSO\n.BR banger (1)\n", f);
}

static void overview_page(FILE *f)
{
	head(f, NULL, "disposable Linux machines");
	fputs("\\fR \\fICOMMAND\\fR [\\fIFLAGS\\fR] [\\fIARGUMENTS\\fR] [\\-\\- \\fICMD\\fR...]\n"
	      ".SH DESCRIPTION\n.B banger\n",
		f);
	word(f, about);
	fputs("\n.SH COMMANDS\n", f);
	for (unsigned i = 0; all_commands[i]; i++) {
		char name[NAME_BYTES];

		if (all_commands[i]->traits & HIDDEN)
			continue;
		page_name(all_commands[i], name);
		fputs(".TP\n.BR ", f);
		word(f, name);
		fputs(" (1)\n", f);
		word(f, all_commands[i]->doc);
		fputc('\n', f);
	}
	flags(f, "FLAGS OF EVERY COMMAND", global_flags);
	exit_codes(f);
	fputs(".SH FILES\n.TP\n.I ~/.config/banger/config.yaml\n"
	      "configuration; /etc/banger/config.yaml is read before it\n"
	      ".TP\n.I ~/.local/state/banger\nimages, kernels, machines and their disks\n",
		f);
}

static enum err write_page(int dir, const struct command *k, struct why *why)
{
	char name[NAME_BYTES + 4];
	FILE *f;
	int fd;

	page_name(k, name);
	memcpy(name + strlen(name), ".1", 3);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f)
		return fail_errno(why, "cannot write %s", name);
	if (k)
		command_page(f, k);
	else
		overview_page(f);
	return fclose(f) ? fail_errno(why, "cannot write %s", name) : OK;
}

static int man(struct cli *c)
{
	int dir = open(c->args[0], O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	struct why why;
	enum err e = dir < 0 ? fail_errno(&why, "%.200s", c->args[0]) : write_page(dir, NULL, &why);

	for (unsigned i = 0; all_commands[i] && !e; i++)
		if (!(all_commands[i]->traits & HIDDEN))
			e = write_page(dir, all_commands[i], &why);
	if (dir >= 0)
		close(dir);
	return e ? report(c, &why) : EXIT_DONE;
}

const struct command cmd_man = {
	.words = "__man",
	.args = "DIRECTORY",
	.least = 1,
	.most = 1,
	.traits = HIDDEN,
	.doc = "write the man pages",
	.example = "banger __man build/man",
	.run = man,
};

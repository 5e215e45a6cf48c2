/*
 * completion.c - shell completion. The scripts are a few lines and hold no words of their own: they
 * hand what was typed to `banger __complete`, which answers from the list of commands. Names of
 * machines, images and kernels are asked of a daemon that runs; none is started by pressing a key.
 */
#include "cli/args.h"
#include "cli/link.h"
#include "cli/report.h"

static const char bash_script[] =
	"# bash completion: source <(banger completion bash)\n"
	"_banger() {\n"
	"\tlocal IFS=$'\\n' found\n"
	"\tfound=$(banger __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
	"\tif [[ $found == :files ]]; then\n"
	"\t\tCOMPREPLY=($(compgen -f -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
	"\t\tcompopt -o filenames 2>/dev/null\n"
	"\telse\n"
	"\t\tCOMPREPLY=($found)\n"
	"\tfi\n"
	"}\n"
	"complete -F _banger banger\n";

static const char zsh_script[] =
	"#compdef banger\n"
	"# zsh completion: source <(banger completion zsh)\n"
	"_banger() {\n"
	"\tlocal found\n"
	"\tfound=$(banger __complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
	"\tif [[ $found == :files ]]; then\n"
	"\t\t_files\n"
	"\telif [[ -n $found ]]; then\n"
	"\t\tcompadd -- \"${(@f)found}\"\n"
	"\tfi\n"
	"}\n"
	"compdef _banger banger\n";

static const char fish_script[] =
	"# fish completion: banger completion fish | source\n"
	"function __banger_complete\n"
	"\tset -l typed (commandline -opc) (commandline -ct)\n"
	"\tset -l found (banger __complete -- $typed[2..-1] 2>/dev/null)\n"
	"\tif test \"$found\" = :files\n"
	"\t\t__fish_complete_path (commandline -ct)\n"
	"\telse\n"
	"\t\tprintf '%s\\n' $found\n"
	"\tend\n"
	"end\n"
	"complete -c banger -f -a '(__banger_complete)'\n";

static int completion(struct cli *c)
{
	struct why why;

	if (str_eq(c->args[0], "bash")) {
		fputs(bash_script, stdout);
	} else if (str_eq(c->args[0], "zsh")) {
		fputs(zsh_script, stdout);
	} else if (str_eq(c->args[0], "fish")) {
		fputs(fish_script, stdout);
	} else {
		fail_field(&why, ERR_invalid_value, "shell", "there is no completion for '%.40s'",
			c->args[0]);
		fail_hint(&why, "bash, zsh or fish");
		return report_usage(c, &why);
	}
	return EXIT_DONE;
}

const struct command cmd_completion = {
	.words = "completion",
	.args = "SHELL",
	.least = 1,
	.most = 1,
	.doc = "a script that completes commands, flags and names: bash, zsh or fish",
	.example = "source <(banger completion bash)\n"
		   "banger completion fish > ~/.config/fish/completions/banger.fish",
	.run = completion,
};

/* What was typed so far. */
struct typed {
	struct cli *c;
	const char *now; /* the word being typed */
	const char *words[2];
	unsigned words_n;
	const struct command *command;
	const struct flag *flag; /* whose value is being typed */
	bool past; /* behind -- */
};

static const struct flag *flag_of(const struct typed *t, const char *word)
{
	const struct flag *lists[] = { t->command ? t->command->flags : NULL, global_flags };

	for (unsigned i = 0; i < COUNT(lists); i++)
		for (const struct flag *f = lists[i]; f && f->name; f++)
			if ((word[1] == '-' && str_eq(word + 2, f->name)) ||
				(f->letter && word[1] == f->letter && !word[2]))
				return f;
	return NULL;
}

static void read_typed(struct typed *t)
{
	for (unsigned i = 0; i + 1 < t->c->tail_n && !t->past; i++) {
		const char *word = t->c->tail[i];
		const struct flag *f;

		if (t->flag) {
			t->flag = NULL;
		} else if (str_eq(word, "--")) {
			t->past = true;
		} else if (word[0] == '-' && word[1]) {
			f = flag_of(t, word);
			t->flag = f && f->type ? f : NULL;
		} else if (!t->command && t->words_n < 2) {
			t->words[t->words_n++] = word;
			t->command = command_by_words(t->words, t->words_n);
		}
	}
}

static void candidate(const struct typed *t, const char *word)
{
	if (strncmp(word, t->now, strlen(t->now)) == 0)
		printf("%s\n", word);
}

static void offer_vms(struct typed *t)
{
	struct vm_listed all = { 0 };
	struct vm_list which = { 0 };

	if (ask(t->c, LETTER_vm_list, &which, &all, NULL))
		return;
	for (uint32_t i = 0; i < all.vms.n; i++)
		candidate(t, all.vms.v[i].name);
}

static void offer_images(struct typed *t)
{
	struct image_listed all = { 0 };
	struct image_list which = { 0 };

	if (ask(t->c, LETTER_image_list, &which, &all, NULL))
		return;
	for (uint32_t i = 0; i < all.images.n; i++)
		candidate(t, all.images.v[i].name);
}

static void offer_kernels(struct typed *t)
{
	struct kernel_listed all = { 0 };
	struct nothing none;

	if (ask(t->c, LETTER_kernel_list, &none, &all, NULL))
		return;
	for (uint32_t i = 0; i < all.kernels.n; i++)
		candidate(t, all.kernels.v[i].name);
}

static void offer(struct typed *t, enum offer o, const struct type *type)
{
	bool there;

	switch (o) {
	case OFFER_VMS:
	case OFFER_IMAGES:
	case OFFER_KERNELS:
		if (link_try(t->c, &there, NULL) || !there)
			return;
		if (o == OFFER_VMS)
			offer_vms(t);
		else if (o == OFFER_IMAGES)
			offer_images(t);
		else
			offer_kernels(t);
		return;
	case OFFER_FILES:
		puts(":files");
		return;
	case OFFER_WORDS:
		for (uint32_t i = 0; type && i < type->names_n; i++)
			candidate(t, type->names[i]);
		return;
	case OFFER_NOTHING:
		return;
	}
}

/* The next word of every command that begins with what is there, each once. */
static void offer_words(struct typed *t)
{
	size_t skip = t->words_n ? strlen(t->words[0]) + 1 : 0;
	char word[24], last[24] = "";

	for (unsigned i = 0; all_commands[i]; i++) {
		const char *words = all_commands[i]->words;

		if (all_commands[i]->traits & HIDDEN)
			continue;
		if (skip && (strncmp(words, t->words[0], skip - 1) != 0 || words[skip - 1] != ' '))
			continue;
		snprintf(word, sizeof(word), "%s", words + skip);
		word[strcspn(word, " ")] = '\0';
		if (!str_eq(word, last))
			candidate(t, word);
		memcpy(last, word, sizeof(last));
	}
}

static void offer_flags(struct typed *t)
{
	const struct flag *lists[] = { t->command ? t->command->flags : NULL, global_flags };
	char word[40];

	for (unsigned i = 0; i < COUNT(lists); i++)
		for (const struct flag *f = lists[i]; f && f->name; f++) {
			snprintf(word, sizeof(word), "--%s", f->name);
			candidate(t, word);
		}
}

static int complete(struct cli *c)
{
	struct typed t = { .c = c, .now = c->tail_n ? c->tail[c->tail_n - 1] : "" };

	c->silent_version = true;
	read_typed(&t);
	if (t.past)
		return EXIT_DONE;
	if (t.flag)
		offer(&t, t.flag->offer, t.flag->type);
	else if (t.now[0] == '-')
		offer_flags(&t);
	else if (!t.command)
		offer_words(&t);
	else
		offer(&t, t.command->offer, NULL);
	return EXIT_DONE;
}

const struct command cmd_complete = {
	.words = "__complete",
	.args = "",
	.traits = HIDDEN | TAIL,
	.doc = "what may follow the words behind --",
	.example = "banger __complete -- vm st",
	.run = complete,
};

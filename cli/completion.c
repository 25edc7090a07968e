/* scitag completion: the table of verbs and their tables of options, as a shell wants them. */
#include <string.h>

#include "cli/cli.h"

static const struct opt options[] = {CLI_OPT_HELP, OPT_END};
const struct opt_program completion_program = {
	.name = "scitag completion",
	.synopsis = "bash|zsh|fish",
	.summary = "Write the completion of this tool for a shell",
	.opts = options,
};

static void write_bash(void)
{
	puts("# completion of scitag; for the shell at hand: source <(scitag completion bash)");
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		opt_completion(v->program, stdout);
	puts("_scitag()\n{\n\tlocal word=\"${COMP_WORDS[COMP_CWORD]}\"\n"
	     "\tCOMPREPLY=()\n"
	     "\tif [ \"$COMP_CWORD\" -gt 1 ]; then\n"
	     "\t\tdeclare -F \"_scitag_${COMP_WORDS[1]}\" >/dev/null && "
	     "\"_scitag_${COMP_WORDS[1]}\"\n"
	     "\t\treturn\n"
	     "\tfi");
	fputs("\tCOMPREPLY=($(compgen -W \"", stdout);
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		printf("%s ", v->name);
	puts("--help --version\" -- \"$word\"))\n}\ncomplete -o default -F _scitag scitag");
}

/* zsh runs bash's. */
static void write_zsh(void)
{
	puts("#compdef scitag\nautoload -U +X bashcompinit && bashcompinit");
	write_bash();
}

/* Inside single quotes fish knows \\ and \'. */
static void put_fish(const char *text)
{
	putchar('\'');
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	putchar('\'');
}

static void write_fish_option(const char *verb, const struct opt *o)
{
	printf("complete -c scitag -n '__fish_seen_subcommand_from %s' -l %s", verb, o->name);
	if (o->letter)
		printf(" -s %c", o->letter);
	if (o->choices) {
		fputs(" -x -a '", stdout);
		for (size_t i = 0; o->choices[i]; i++)
			printf("%s%s", i ? " " : "", o->choices[i]);
		putchar('\'');
	} else if (o->arg) {
		fputs(strstr(o->arg, "FILE") ? " -r" : " -x", stdout);
	}
	fputs(" -d ", stdout);
	put_fish(o->help ?: "");
	putchar('\n');
}

static void write_fish(void)
{
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		printf("complete -c scitag -n __fish_use_subcommand -f -a %s -d ", v->name);
		put_fish(v->program->summary);
		putchar('\n');
		for (const struct opt *o = v->program->opts; o->key || o->name; o++)
			if (o->name && o->type != OPT_IGNORED)
				write_fish_option(v->name, o);
	}
}

int verb_completion(int argc, char **argv)
{
	struct cli_common common = {0};
	int rest, code = cli_args(&completion_program, &common, argc, argv, &rest);

	if (code >= 0)
		return code;
	if (argc - rest != 1)
		return cli_usage(&completion_program, "of which shell?");
	if (!strcmp(argv[rest], "bash"))
		write_bash();
	else if (!strcmp(argv[rest], "zsh"))
		write_zsh();
	else if (!strcmp(argv[rest], "fish"))
		write_fish();
	else
		return cli_usage(&completion_program, "there is none for '%s'", argv[rest]);
	return CLI_OK;
}

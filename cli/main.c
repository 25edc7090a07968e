/* scitag: a table of verbs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

/* In the order of --help. */
const struct cli_verb cli_verbs[] = {
	{"decode", verb_decode, &decode_program},
	{"encode", verb_encode, &encode_program},
	{"registry", verb_registry, &registry_program},
	{"read", verb_read, &read_program},
	{"tail", verb_tail, &tail_program},
	{"top", verb_top, &top_program},
	{"query", verb_query, &query_program},
	{"gen", verb_gen, &gen_program},
	{"replay", verb_replay, &replay_program},
	{"check", verb_check, &check_program},
	{"doctor", verb_doctor, &doctor_program},
	{"completion", verb_completion, &completion_program},
	{NULL, NULL, NULL},
};

static void help(FILE *out)
{
	fprintf(out, "Usage: scitag VERB [ARGUMENT...]\n\n"
		     "Read, write and watch SciTags: whose traffic is it?\n\n");
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		fprintf(out, "  %s%-11s%s %s\n", cli_colour(out, CLI_BOLD), v->name,
			cli_colour(out, CLI_PLAIN), v->program->summary);
	fprintf(out,
		"\n'scitag VERB --help' says more; 'scitag --version' the version.\n"
		"Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 permission or missing "
		"capability,\n5 finished but data is incomplete.\n");
}

static const struct cli_verb *find(const char *name)
{
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

static int no_such(const char *word)
{
	const char *names[64], *near;
	size_t n = 0;

	for (const struct cli_verb *v = cli_verbs; v->name && n < 64; v++)
		names[n++] = v->name;
	near = opt_nearest(word, names, n);
	fprintf(stderr, "scitag: there is no '%s'%s%s%s; 'scitag --help' lists the verbs\n", word,
		near ? ", did you mean '" : "", near ?: "", near ? "'?" : "");
	return CLI_USAGE;
}

static int run(int argc, char **argv)
{
	const struct cli_verb *verb;
	static char help_word[] = "--help";
	char *help_argv[] = {NULL, help_word, NULL};

	if (argc < 2) {
		help(stderr);
		return CLI_USAGE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("scitag " SCITAG_VERSION);
		return CLI_OK;
	}
	if (!strcmp(argv[1], "--man")) {
		cli_man(stdout);
		return CLI_OK;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		if (argc == 2) {
			help(stdout);
			return CLI_OK;
		}
		verb = find(argv[2]);
		help_argv[0] = argv[2];
		return verb ? verb->run(2, help_argv) : no_such(argv[2]);
	}
	verb = find(argv[1]);
	return verb ? verb->run(argc - 1, argv + 1) : no_such(argv[1]);
}

int main(int argc, char **argv)
{
	int code = run(argc, argv);

	/* A full disk must not look like success. */
	if ((fflush(stdout) || ferror(stdout)) && code == CLI_OK)
		code = cli_fail(CLI_FAILED, "writing the output: %s", strerror(errno));
	return code;
}

/* scitag(1), from the tables of verbs and options. */
#include "cli/cli.h"

static const char head[] =
	".SH NAME\n"
	"scitag \\- read, write and watch SciTags\n"
	".SH SYNOPSIS\n"
	".B scitag\n"
	".I VERB\n"
	"[\\fIARGUMENT\\fR...]\n"
	".SH DESCRIPTION\n"
	"Research networks mark their traffic with an experiment and an activity: in the IPv6 "
	"flow\n"
	"label, in an IPv6 extension header, and in UDP messages called fireflies.\n"
	".B scitag\n"
	"is the tool around those marks: what a value means, what a capture holds, whether the\n"
	"registry of numbers is fresh, traffic for a rehearsal, and what a machine lacks to take\n"
	"part. It needs no rights of its own, save where it opens an interface.\n"
	".PP\n"
	"Data goes to standard output, everything else to standard error. Options may stand "
	"before\n"
	"or behind arguments;\n"
	".B \\-\\-\n"
	"ends them. Colour and progress bars appear on a terminal only.\n"
	".SH VERBS\n";

static const char tail[] =
	".SH EXIT STATUS\n"
	".TP\n.B 0\nDone, and nothing was wrong.\n"
	".TP\n.B 1\nFailed, or an answer of \"no\".\n"
	".TP\n.B 2\nThe command line was not understood.\n"
	".TP\n.B 3\nA configuration was not accepted.\n"
	".TP\n.B 4\nA right or a capability was missing.\n"
	".TP\n.B 5\nFinished, but data is incomplete: a torn capture, lines that could not be "
	"read.\n"
	".SH ENVIRONMENT\n"
	".TP\n.B NO_COLOR\nNo colour, whatever its value, unless empty.\n"
	".TP\n.B XDG_CACHE_HOME\nWhere a user's registry is kept, \\fI~/.cache\\fR by default.\n"
	".TP\n.BR http_proxy \", \" https_proxy\nThe way to the registry's server.\n"
	".SH FILES\n"
	".TP\n.I /var/cache/scitag/registry.json\n"
	"The newest registry; of a user who is not root, "
	"\\fI~/.cache/scitag/registry.json\\fR.\n"
	".SH EXAMPLES\n"
	".TP\nWhat does this label mean?\n.B scitag decode 0xb0138\n"
	".TP\nEvery label of a log file, as CSV\n"
	".B grep \\-o '0x[0-9a-f]*' log | scitag decode \\-\\-csv \\-\n"
	".TP\nThe label to filter for, entropy aside\n"
	".B scitag encode cms \"Analysis Input\" \\-\\-only label\n"
	".TP\nHas the registry changed?\n.B scitag registry diff\n"
	".TP\nWhat is in a capture?\n.B scitag read border.pcap\n"
	".TP\nIs this machine ready?\n.B sudo scitag doctor\n"
	".TP\nCompletion for this shell\n.B source <(scitag completion bash)\n"
	".SH SEE ALSO\n"
	".BR scitag\\-observer (8),\n"
	".BR scitag\\-marker (8),\n"
	"https://www.scitags.org\n";

void cli_man(FILE *out)
{
	fprintf(out, ".TH SCITAG 1 \"\" \"scitag %s\" \"User Commands\"\n", SCITAG_VERSION);
	fputs(head, out);
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		opt_man(v->program, out);
	fputs(tail, out);
}

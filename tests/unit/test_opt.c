/* The option table: files, command line, what is said about errors, and what is written reads back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/opt.h"

struct rule {
	char *name;
	int64_t port;
	struct opt_texts hosts;
};

struct config {
	int check, verbose, quiet;
	int64_t port, any;
	uint64_t size_bytes, cap_bytes, keep_s, period_s;
	char *listen, *user;
	int level;
	struct opt_texts interfaces, ids;
	struct opt_map mapping;
	struct opt_items rules;
	int pipe, sink;
	char *pipe_path;
	int64_t pipe_readers;
	int deep;
	char *deep_text;
};

#define AT(member)   .offset = offsetof(struct config, member)
#define ITEM(member) .offset = offsetof(struct rule, member)

static const char *even(const char *text)
{
	return text[strlen(text) - 1] % 2 ? "expected an even number" : NULL;
}

static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
static const struct opt rule_opts[] = {
	{.key = "name", .type = OPT_TEXT, ITEM(name), .help = "Name."},
	{.key = "port",
	 .type = OPT_INT,
	 ITEM(port),
	 .min = 1,
	 .max = 9,
	 .default_text = "7",
	 .help = "Port."},
	{.key = "hosts", .type = OPT_TEXTS, ITEM(hosts), .help = "Hosts."},
	OPT_END,
};
static const struct opt opts[] = {
	{.name = "check", .type = OPT_VERB, AT(check), .help = "Only check."},
	{.key = "verbose",
	 .name = "verbose",
	 .letter = 'v',
	 .type = OPT_FLAG,
	 AT(verbose),
	 .help = "Say more."},
	{.key = "quiet",
	 .name = "quiet",
	 .letter = 'q',
	 .type = OPT_FLAG,
	 AT(quiet),
	 .default_text = "true",
	 .help = "Say less."},
	{.key = "http.port",
	 .name = "port",
	 .letter = 'p',
	 .type = OPT_INT,
	 AT(port),
	 .min = 1,
	 .max = 65535,
	 .default_text = "10580",
	 .arg = "PORT",
	 .help = "TCP port."},
	{.key = "http.listen",
	 .name = "listen",
	 .letter = 'l',
	 .type = OPT_TEXT,
	 AT(listen),
	 .default_text = "127.0.0.1:10580",
	 .arg = "ADDR",
	 .help = "Address."},
	{.key = "any", .type = OPT_INT, AT(any), .help = "Any number."},
	{.key = "size",
	 .name = "size",
	 .type = OPT_SIZE,
	 AT(size_bytes),
	 .min = 4096,
	 .default_text = "2GiB",
	 .arg = "SIZE",
	 .help = "Size."},
	{.key = "cap", .type = OPT_SIZE, AT(cap_bytes), .max = 1 << 20, .help = "Cap."},
	{.key = "keep",
	 .name = "keep",
	 .type = OPT_DURATION,
	 AT(keep_s),
	 .default_text = "7d",
	 .arg = "TIME",
	 .help = "How long."},
	{.key = "period",
	 .type = OPT_DURATION,
	 AT(period_s),
	 .min = 10,
	 .max = 3600,
	 .default_text = "1m",
	 .help = "How often."},
	{.key = "user",
	 .name = "user",
	 .letter = 'u',
	 .type = OPT_TEXT,
	 AT(user),
	 .arg = "NAME",
	 .help = "Who."},
	{.key = "log.level",
	 .name = "log-level",
	 .type = OPT_CHOICE,
	 AT(level),
	 .choices = levels,
	 .default_text = "info",
	 .arg = "LEVEL",
	 .help = "How much."},
	{.key = "interfaces",
	 .name = "interface",
	 .letter = 'i',
	 .type = OPT_TEXTS,
	 AT(interfaces),
	 .default_text = "[\"lo\"]",
	 .arg = "IFACE",
	 .help = "Where."},
	{.key = "ids",
	 .type = OPT_TEXTS,
	 AT(ids),
	 .default_text = "[0, 2]",
	 .validate = even,
	 .help = "Which."},
	{.key = "mapping",
	 .name = "map",
	 .type = OPT_MAP,
	 AT(mapping),
	 .arg = "KEY=VALUE",
	 .help = "Pairs."},
	{.key = "rules",
	 .type = OPT_ITEMS,
	 AT(rules),
	 .item_opts = rule_opts,
	 .item_size = sizeof(struct rule),
	 .help = "Rules."},
	{.key = "plugins.pipe", .type = OPT_SECTION, AT(pipe), .help = "A pipe."},
	{.key = "plugins.pipe.path",
	 .type = OPT_TEXT,
	 AT(pipe_path),
	 .default_text = "np",
	 .help = "Path."},
	{.key = "plugins.pipe.readers",
	 .type = OPT_INT,
	 AT(pipe_readers),
	 .min = 1,
	 .max = 5,
	 .default_text = "5",
	 .help = "Readers."},
	{.key = "plugins.sink", .type = OPT_SECTION, AT(sink), .help = "A sink."},
	{.key = "plugins.sink.deep", .type = OPT_SECTION, AT(deep), .help = "A deep one."},
	{.key = "plugins.sink.deep.text", .type = OPT_TEXT, AT(deep_text), .help = "Text."},
	{.key = "plugins.sink.old",
	 .name = "old",
	 .type = OPT_IGNORED,
	 .arg = "X",
	 .help = "nobody needs it."},
	OPT_END,
};
static const struct opt_program program = {
	.name = "prog",
	.synopsis = "[OPTION...] FILE...",
	.summary = "does things",
	.opts = opts,
	.default_file = "/etc/prog.yaml",
};

/* What a call wrote on its `err`; one at a time. */
static char said[65536];
static FILE *said_file;

static FILE *listen_to(void)
{
	memset(said, 0, sizeof(said));
	said_file = fmemopen(said, sizeof(said) - 1, "w");
	return said_file;
}

static int read_yaml(struct config *c, const char *yaml)
{
	char *exact = malloc(strlen(yaml) + 1); /* no terminator: one byte too far is a report */
	int err;

	memset(c, 0, sizeof(*c));
	assert_int_equal(opt_defaults(&program, c), 0);
	memcpy(exact, yaml, strlen(yaml));
	err = opt_read_text(&program, c, "f.yaml", exact, strlen(yaml), listen_to());
	fclose(said_file);
	free(exact);
	return err;
}

static void defaults_are_applied(void **state)
{
	struct config c = {0};

	(void)state;
	assert_int_equal(opt_defaults(&program, &c), 0);
	assert_int_equal(c.verbose, 0);
	assert_int_equal(c.quiet, 1);
	assert_int_equal(c.port, 10580);
	assert_string_equal(c.listen, "127.0.0.1:10580");
	assert_int_equal(c.any, 0);
	assert_int_equal(c.size_bytes, 2147483648);
	assert_int_equal(c.keep_s, 7 * 86400);
	assert_null(c.user);
	assert_int_equal(c.level, 2);
	assert_int_equal(c.interfaces.n, 1);
	assert_string_equal(c.interfaces.items[0], "lo");
	assert_int_equal(c.ids.n, 2);
	assert_string_equal(c.ids.items[1], "2");
	assert_int_equal(c.rules.n, 0);
	assert_int_equal(c.pipe, 0);
	opt_free(&program, &c);
	assert_null(c.listen);
	opt_free(&program, &c);
}

static void a_file_is_read(void **state)
{
	struct config c;
	struct rule *rules;

	(void)state;
	assert_int_equal(read_yaml(&c, "# all of it\n"
				       "verbose: yes\n"
				       "quiet: false\n"
				       "http: {port: 0x50, listen: \"[::1]:80\"}\n"
				       "any: -9223372036854775808\n"
				       "size: 3 MB\n"
				       "cap: 1MiB\n"
				       "keep: never\n"
				       "period: 1m30s\n"
				       "user: null\n"
				       "log:\n"
				       "  level: DEBUG\n"
				       "interfaces: eth1\n"
				       "ids: []\n"
				       "mapping:\n"
				       "  a: 1\n"
				       "  'b c': \"x: y\"\n"
				       "rules:\n"
				       "- name: one\n"
				       "  hosts: [h1, h2]\n"
				       "- {port: 3}\n"
				       "plugins:\n"
				       "  pipe: {}\n"
				       "  sink:\n"
				       "    deep:\n"
				       "      text: >\n"
				       "        folded\n"
				       "        text\n"),
			 0);
	assert_string_equal(said, "");
	assert_int_equal(c.verbose, 1);
	assert_int_equal(c.quiet, 0);
	assert_int_equal(c.port, 80);
	assert_string_equal(c.listen, "[::1]:80");
	assert_true(c.any == INT64_MIN);
	assert_int_equal(c.size_bytes, 3000000);
	assert_int_equal(c.cap_bytes, 1048576);
	assert_int_equal(c.keep_s, 0);
	assert_int_equal(c.period_s, 90);
	assert_null(c.user);
	assert_int_equal(c.level, 3);
	assert_int_equal(c.interfaces.n, 1);
	assert_string_equal(c.interfaces.items[0], "eth1");
	assert_int_equal(c.ids.n, 0);
	assert_int_equal(c.mapping.n, 2);
	assert_string_equal(c.mapping.keys[1], "b c");
	assert_string_equal(c.mapping.values[1], "x: y");
	assert_int_equal(c.rules.n, 2);
	rules = c.rules.items;
	assert_string_equal(rules[0].name, "one");
	assert_int_equal(rules[0].port, 7); /* an item has its defaults */
	assert_int_equal(rules[0].hosts.n, 2);
	assert_string_equal(rules[0].hosts.items[1], "h2");
	assert_null(rules[1].name);
	assert_int_equal(rules[1].port, 3);
	assert_int_equal(c.pipe, 1);
	assert_string_equal(c.pipe_path, "np");
	assert_int_equal(c.sink, 1);
	assert_int_equal(c.deep, 1);
	assert_string_equal(c.deep_text, "folded text\n");
	opt_free(&program, &c);
}

/* One error each, word for word, with the place it stands at (counted from 1, by hand). */
static const struct {
	const char *yaml, *said;
} wrong[] = {
	{"verbos: true\n", "f.yaml:1:1: unknown key 'verbos', did you mean 'verbose'?\n"},
	{"http:\n  prot: 5\n", "f.yaml:2:3: unknown key 'http.prot', did you mean 'http.port'?\n"},
	{"Verbose: true\n", "f.yaml:1:1: unknown key 'Verbose', did you mean 'verbose'?\n"},
	{"level: info\n", "f.yaml:1:1: unknown key 'level': 'level' belongs under 'log'\n"},
	{"http: {user: me}\n", "f.yaml:1:8: unknown key 'http.user': 'user' belongs at the top\n"},
	{"zzz: 1\n", "f.yaml:1:1: unknown key 'zzz'\n"},
	{"http.listen: x\n",
	 "f.yaml:1:1: unknown key 'http.listen': 'listen' belongs under 'http'\n"},
	{"check: true\n", "f.yaml:1:1: unknown key 'check'\n"}, /* command line only */
	{"verbose: maybe\n", "f.yaml:1:10: verbose: expected true or false, got 'maybe'\n"},
	{"verbose: 'true'\n",
	 "f.yaml:1:10: verbose: expected true or false, got the text \"true\"\n"},
	{"http:\n  port: 0\n",
	 "f.yaml:2:9: http.port: expected an integer within 1..65535, got '0'\n"},
	{"http:\n  port: 65536\n",
	 "f.yaml:2:9: http.port: expected an integer within 1..65535, got '65536'\n"},
	{"any: 1.5\n", "f.yaml:1:6: any: expected an integer, got '1.5'\n"},
	{"any: 9223372036854775808\n",
	 "f.yaml:1:6: any: expected an integer, got '9223372036854775808'\n"},
	{"any: \"5\"\n", "f.yaml:1:6: any: expected an integer, got the text \"5\"\n"},
	{"any: [5]\n", "f.yaml:1:6: any: expected an integer, got a list\n"},
	{"any: {}\n", "f.yaml:1:6: any: expected an integer, got a mapping\n"},
	{"size: 4095\n", "f.yaml:1:7: size: expected a size such as 4096, 512MiB or 2GB, at least "
			 "4KiB, got '4095'\n"},
	{"size: 5 parsecs\n", "f.yaml:1:7: size: expected a size such as 4096, 512MiB or 2GB, at "
			      "least 4KiB, got '5 parsecs'\n"},
	{"size: 17000000TiB\n", "f.yaml:1:7: size: expected a size such as 4096, 512MiB or 2GB, at "
				"least 4KiB, got '17000000TiB'\n"},
	{"cap: 1048577\n", "f.yaml:1:6: cap: expected a size such as 4096, 512MiB or 2GB, at most "
			   "1MiB, got '1048577'\n"},
	{"keep: 3600\n", "f.yaml:1:7: keep: a duration needs its unit: 3600s?\n"},
	{"keep: 5x\n",
	 "f.yaml:1:7: keep: expected a duration such as 10s, 5m, 24h, 7d or 2y, got '5x'\n"},
	{"period: 9s\n", "f.yaml:1:9: period: expected a duration such as 10s, 5m, 24h, 7d or 2y, "
			 "at least 10s, at most 1h, got '9s'\n"},
	{"period: never\n", "f.yaml:1:9: period: expected a duration such as 10s, 5m, 24h, 7d or "
			    "2y, at least 10s, at most 1h, got 'never'\n"},
	{"period: 3601s\n", "f.yaml:1:9: period: expected a duration such as 10s, 5m, 24h, 7d or "
			    "2y, at least 10s, at most 1h, got '3601s'\n"},
	{"log: {level: inof}\n",
	 "f.yaml:1:14: log.level: expected one of error, warn, info, debug, "
	 "got 'inof', did you mean 'info'?\n"},
	{"log: {level: 2}\n",
	 "f.yaml:1:14: log.level: expected one of error, warn, info, debug, got '2'\n"},
	{"user: [a]\n", "f.yaml:1:7: user: expected a text, got a list\n"},
	{"user: \"a\\0b\"\n", "f.yaml:1:7: user: expected a text, got a text with a NUL\n"},
	{"interfaces: {a: b}\n",
	 "f.yaml:1:13: interfaces: expected a list of texts, got a mapping\n"},
	{"interfaces: [a, [b]]\n",
	 "f.yaml:1:17: interfaces: expected a list of texts, got a list\n"},
	{"interfaces:\n- a\n-\n- b\n", "f.yaml:3:2: interfaces: an empty entry in the list\n"},
	{"ids: [2, 3]\n", "f.yaml:1:10: ids: expected an even number, got '3'\n"},
	{"mapping: [a]\n", "f.yaml:1:10: mapping: expected a mapping of texts, got a list\n"},
	{"mapping: {a: [b]}\n", "f.yaml:1:14: mapping: expected a text for 'a', got a list\n"},
	{"mapping: {a: 1, a: 2}\n", "f.yaml:1:17: key 'a' is there twice, first in line 1\n"},
	{"rules: {name: x}\n", "f.yaml:1:8: rules: expected a list of mappings, got a mapping\n"},
	{"rules: [x]\n", "f.yaml:1:9: rules: expected a mapping, got a text\n"},
	{"rules:\n- nmae: x\n", "f.yaml:2:3: unknown key 'nmae', did you mean 'name'?\n"},
	{"rules:\n- name: x\n- port: 10\n",
	 "f.yaml:3:9: port: expected an integer within 1..9, got '10'\n"},
	{"http: 5\n", "f.yaml:1:7: http: expected a section, got a text\n"},
	{"plugins: {pipe: true}\n", "f.yaml:1:17: plugins.pipe: expected a section, got a text\n"},
	{"plugins: {pipe: [path]}\n",
	 "f.yaml:1:17: plugins.pipe: expected a section, got a list\n"},
	{"user: a\nany: 1\nuser: b\n", "f.yaml:3:1: key 'user' is there twice, first in line 1\n"},
	{"[a]: 1\n", "f.yaml:1:1: a key must be a text, not a list\n"},
	{"- a\n", "f.yaml:1:1: expected keys and values, got a list\n"},
	{"text\n", "f.yaml:1:1: expected keys and values, got a text\n"},
	{"any: 1\n---\nany: 2\n", "f.yaml:3:1: a second document: only one is read\n"},
	{"http:\n\tport: 5\n", "f.yaml:2:1: not YAML: found character that cannot start any token; "
			       "indent with blanks, not tabs\n"},
	{"user: \"a\n", "f.yaml:2:1: not YAML: found unexpected end of stream, while scanning a "
			"quoted scalar\n"},
	{"user: *nobody\n", "f.yaml:1:7: not YAML: found undefined alias\n"},
	{"any: 1\nuser: \xff\n", "f.yaml:2:7: not YAML: invalid leading UTF-8 octet\n"},
	{"user: a\x01z\n", "f.yaml:1:8: not YAML: control characters are not allowed\n"},
	{"rules: &r [{name: x, hosts: *r}]\n",
	 "f.yaml:1:12: hosts: expected a list of texts, got a mapping\n"}, /* a cycle ends */
};

static void every_error_is_said_with_its_place(void **state)
{
	struct config c;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (read_yaml(&c, wrong[i].yaml) != -EINVAL)
			fail_msg("let in: %s", wrong[i].yaml);
		if (strcmp(said, wrong[i].said))
			fail_msg("%s\nsaid   %sinstead %s", wrong[i].yaml, said, wrong[i].said);
		opt_free(&program, &c);
	}
}

static void all_errors_are_said_in_one_run(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(read_yaml(&c, "verbos: 1\n"
				       "any: x\n"
				       "http:\n"
				       "  port: 70000\n"
				       "user: me\n"
				       "keep: 5x\n"),
			 -EINVAL);
	assert_string_equal(said,
			    "f.yaml:1:1: unknown key 'verbos', did you mean 'verbose'?\n"
			    "f.yaml:2:6: any: expected an integer, got 'x'\n"
			    "f.yaml:4:9: http.port: expected an integer within 1..65535, got "
			    "'70000'\n"
			    "f.yaml:6:7: keep: expected a duration such as 10s, 5m, 24h, 7d or 2y, "
			    "got '5x'\n");
	assert_string_equal(c.user, "me"); /* the sound ones were read */
	opt_free(&program, &c);
}

static void very_many_errors_are_counted(void **state)
{
	static char yaml[8192];
	struct config c;
	size_t used = 0;

	(void)state;
	for (int i = 0; i < 60; i++)
		used += (size_t)snprintf(yaml + used, sizeof(yaml) - used, "zzzzz%d: 1\n", i);
	assert_int_equal(read_yaml(&c, yaml), -EINVAL);
	assert_non_null(strstr(said, "f.yaml:50:1: unknown key 'zzzzz49'\n"
				     "f.yaml: 10 more errors\n"));
	opt_free(&program, &c);
}

static void harmless_surprises_are_warned_about(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(read_yaml(&c, "plugins:\n"
				       "  pipe:\n"
				       "  sink:\n"
				       "    old: [1, {a: b}]\n"),
			 0);
	assert_string_equal(said, "f.yaml:2:3: warning: 'plugins.pipe' is empty and stays off; "
				  "'pipe: {}' turns it on\n"
				  "f.yaml:4:5: warning: 'plugins.sink.old' has no effect: nobody "
				  "needs it.\n");
	assert_int_equal(c.pipe, 0);
	assert_int_equal(c.sink, 1);
	opt_free(&program, &c);
}

static void nothing_in_a_file_changes_nothing(void **state)
{
	static const char *const empty[] = {"",
					    "\n",
					    "# only this\n",
					    "---\n",
					    "~\n",
					    "{}\n",
					    "http:\n",
					    "user:\nany: ~\ninterfaces: null\n",
					    "--- {}\n...\n"};
	struct config c;

	(void)state;
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		assert_int_equal(read_yaml(&c, empty[i]), 0);
		assert_string_equal(said, "");
		assert_int_equal(c.port, 10580);
		assert_int_equal(c.interfaces.n, 1);
		assert_null(c.user);
		opt_free(&program, &c);
	}
}

static void anchors_are_followed_within_bounds(void **state)
{
	static const char laughs[] = "rules:\n"
				     "- hosts: &a [x, x, x, x, x, x, x, x, x, x]\n"
				     "- &b {name: n, hosts: *a}\n"
				     "- *b\n";
	char bomb[16384];
	struct config c;
	size_t used;

	(void)state;
	assert_int_equal(read_yaml(&c, laughs), 0);
	assert_int_equal(c.rules.n, 3);
	assert_string_equal(((struct rule *)c.rules.items)[2].hosts.items[9], "x");
	opt_free(&program, &c);
	/* 1000 texts, used 200 times: 200,000 values from 5 KB */
	used = (size_t)sprintf(bomb, "rules:\n- hosts: &a [");
	for (int i = 0; i < 1000; i++)
		used += (size_t)sprintf(bomb + used, "x,");
	used += (size_t)sprintf(bomb + used, "]\n");
	for (int i = 0; i < 200; i++)
		used += (size_t)sprintf(bomb + used, "- hosts: *a\n");
	assert_int_equal(read_yaml(&c, bomb), -EINVAL);
	assert_memory_equal(said, "f.yaml:2:", 9);
	assert_non_null(strstr(said, ": too many or too deep values\n"));
	assert_ptr_equal(strchr(said, '\n'), strrchr(said, '\n')); /* said once */
	opt_free(&program, &c);
}

static void a_file_beyond_1_mib_is_refused(void **state)
{
	char path[] = "/tmp/test_opt_XXXXXX";
	int fd = mkstemp(path);
	struct config c = {0};
	static char line[1024];

	(void)state;
	memset(line, '#', sizeof(line));
	line[1023] = '\n';
	for (int i = 0; i < 1024; i++)
		assert_int_equal(write(fd, line, sizeof(line)), sizeof(line));
	assert_int_equal(opt_read_file(&program, &c, path, listen_to()), 0);
	fclose(said_file);
	assert_int_equal(write(fd, "\n", 1), 1);
	assert_int_equal(opt_read_file(&program, &c, path, listen_to()), -EINVAL);
	fclose(said_file);
	assert_non_null(strstr(said, ": larger than 1 MiB\n"));
	close(fd);
	unlink(path);
	assert_int_equal(opt_read_file(&program, &c, path, listen_to()), -ENOENT);
	fclose(said_file);
	assert_non_null(strstr(said, ": No such file or directory\n"));
	assert_int_equal(opt_read_file(&program, &c, "/tmp", listen_to()), -EISDIR);
	fclose(said_file);
	opt_free(&program, &c);
}

/* --- command line -------------------------------------------------------------------------------- */

#define ARGS_MAX 32
static char *argv_copy[ARGS_MAX];
static int argc_copy, rest;

/* "prog" and the words of line, split at single blanks. */
static int read_args(struct config *c, const char *line)
{
	static char words[1024];
	int err;

	snprintf(words, sizeof(words), "prog%s%s", *line ? " " : "", line);
	argc_copy = 0;
	for (char *w = words, *next = w; next; w = next + (next != NULL)) {
		argv_copy[argc_copy++] = w;
		next = strchr(w, ' ');
		if (!next)
			break;
		*next = 0;
	}
	argv_copy[argc_copy] = NULL;
	rest = -1;
	err = opt_read_args(&program, c, argc_copy, argv_copy, &rest, listen_to());
	fclose(said_file);
	return err;
}

static void the_command_line_goes_over_the_file(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(read_yaml(&c, "interfaces: [a, b]\nhttp: {port: 1}\nuser: u\n"), 0);
	assert_int_equal(
		read_args(&c, "one --port=99 -i x two -iy -vq --no-quiet --check -- -p --"), 0);
	assert_string_equal(said, "");
	assert_int_equal(c.port, 99);
	assert_int_equal(c.interfaces.n, 2); /* replaced, then repeated */
	assert_string_equal(c.interfaces.items[0], "x");
	assert_string_equal(c.interfaces.items[1], "y");
	assert_int_equal(c.verbose, 1);
	assert_int_equal(c.quiet, 0);
	assert_int_equal(c.check, 1);
	assert_string_equal(c.user, "u");
	assert_int_equal(argc_copy - rest, 4); /* arguments kept their order */
	assert_string_equal(argv_copy[rest], "one");
	assert_string_equal(argv_copy[rest + 1], "two");
	assert_string_equal(argv_copy[rest + 2], "-p");
	assert_string_equal(argv_copy[rest + 3], "--");
	/* a second reading of the same vector, as a reload does, sees the same */
	assert_int_equal(opt_read_args(&program, &c, argc_copy, argv_copy, &rest, stderr), 0);
	assert_int_equal(argc_copy - rest, 4);
	assert_int_equal(c.interfaces.n, 2);
	opt_free(&program, &c);
}

static const struct {
	const char *line;
	const char *said;
	int rest; /* index of the first argument */
} lines[] = {
	{"", "", 1},
	{"a b", "", 1},
	{"-", "", 1},
	{"--", "", 2},
	{"-l x", "", 3},
	{"-vl x y", "", 3},
	{"-vlx y", "", 2},
	{"--listen --port", "", 3}, /* a value is taken as it comes */
	{"--map k=v --map k2=", "", 5},
	{"--verbose=no", "", 2},
	{"--old 1 x", "prog: warning: option '--old' has no effect: nobody needs it.\n", 3},
	{"--lisetn x", "prog: unknown option '--lisetn', did you mean '--listen'?\n", -1},
	{"--zzzzzz", "prog: unknown option '--zzzzzz'\n", -1},
	{"-vx", "prog: unknown option '-x'\n", -1},
	{"--check=1", "prog: option '--check' takes no value\n", -1},
	{"--no-quiet=1", "prog: option '--no-quiet' takes no value\n", -1},
	{"--no-listen", "prog: unknown option '--no-listen', did you mean '--listen'?\n", -1},
	{"--port", "prog: option '--port' needs a value: PORT\n", -1},
	{"-p", "prog: option '-p' needs a value: PORT\n", -1},
	{"--port=", "prog: option '--port': expected an integer within 1..65535, got ''\n", -1},
	{"--port 0 --keep 5 --bogus",
	 "prog: option '--port': expected an integer within 1..65535, got '0'\n"
	 "prog: option '--keep': a duration needs its unit: 5s?\n"
	 "prog: unknown option '--bogus'\n",
	 -1},
	{"--map novalue", "prog: option '--map': expected KEY=VALUE, got 'novalue'\n", -1},
};

static void command_lines_are_understood_or_explained(void **state)
{
	struct config c = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int err = read_args(&c, lines[i].line);

		if (strcmp(said, lines[i].said))
			fail_msg("%s: said %s", lines[i].line, said);
		if (rest != lines[i].rest || err != (rest < 0 ? -EINVAL : 0))
			fail_msg("%s: rest %d, %d", lines[i].line, rest, err);
	}
	assert_int_equal(read_args(&c, "--map k=v --map k2= --map a=b=c"), 0);
	assert_string_equal(c.mapping.keys[1], "k2");
	assert_string_equal(c.mapping.values[1], "");
	assert_string_equal(c.mapping.values[2], "b=c");
	opt_free(&program, &c);
}

/* --- what is written ----------------------------------------------------------------------------- */

static char *dumped(const struct config *c)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	opt_dump(&program, c, f);
	fclose(f);
	return text;
}

static void what_is_dumped_reads_back_to_the_same(void **state)
{
	static const char *const files[] = {
		"",
		"verbose: true\nquiet: false\nany: -7\nsize: 4097\ncap: 1KiB\nkeep: 0\n",
		"http: {port: 1, listen: \"\"}\nuser: 'null'\n",
		"user: \"a'b\\\"c\\\\d\\n\\t#: \\x01\\x7f\\x85\\u2028\\uFEFF\\u00e9\"\n",
		"user: '123'\ninterfaces: []\nids: [4, 6, '8']\n",
		"interfaces: [':', '- a', 'a: b', 'a #b', '', ' ', '~', '*x', 'eth0.100']\n",
		"mapping: {'': x, '~': '', 'a: b': \"\\n\", true: no}\n",
		"rules: [{name: a, hosts: [b, c]}, {}, {port: 1, hosts: []}]\n",
		"plugins: {pipe: {}}\n",
		"plugins: {pipe: {path: \"\", readers: 1}, sink: {}}\n",
		"plugins: {sink: {deep: {}}}\n",
		"plugins: {sink: {deep: {text: t}}}\n",
		"period: 1h\nkeep: 730d\n",
	};
	struct config c;

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char *first, *second;
		struct config again;

		assert_int_equal(read_yaml(&c, files[i]), 0);
		first = dumped(&c);
		if (read_yaml(&again, first) || *said)
			fail_msg("%s\nsaid %s", first, said);
		second = dumped(&again);
		assert_string_equal(first, second);
		/* the text hides nothing: compare what it stands for, too */
		assert_int_equal(c.verbose, again.verbose);
		assert_int_equal(c.any, again.any);
		assert_int_equal(c.size_bytes, again.size_bytes);
		assert_int_equal(c.keep_s, again.keep_s);
		assert_string_equal(c.user ?: "(none)", again.user ?: "(none)");
		assert_string_equal(c.listen, again.listen);
		assert_int_equal(c.interfaces.n, again.interfaces.n);
		for (size_t j = 0; j < c.interfaces.n; j++)
			assert_string_equal(c.interfaces.items[j], again.interfaces.items[j]);
		assert_int_equal(c.mapping.n, again.mapping.n);
		for (size_t j = 0; j < c.mapping.n; j++) {
			assert_string_equal(c.mapping.keys[j], again.mapping.keys[j]);
			assert_string_equal(c.mapping.values[j], again.mapping.values[j]);
		}
		assert_int_equal(c.rules.n, again.rules.n);
		assert_int_equal(c.pipe, again.pipe);
		assert_int_equal(c.sink, again.sink);
		assert_int_equal(c.deep, again.deep);
		assert_string_equal(c.pipe_path, again.pipe_path);
		free(first);
		free(second);
		opt_free(&program, &c);
		opt_free(&program, &again);
	}
}

static void a_dump_is_for_people(void **state)
{
	struct config c = {0};
	char *text;

	(void)state;
	assert_int_equal(opt_defaults(&program, &c), 0);
	text = dumped(&c);
	assert_non_null(strstr(text, "# Configuration of prog, usually /etc/prog.yaml.\n"));
	assert_non_null(strstr(text, "\n# Say less. Default: true.\nquiet: true\n"));
	assert_non_null(strstr(text, "\nhttp:\n"
				     "  # TCP port. Value: an integer within 1..65535. Default: "
				     "10580.\n"
				     "  port: 10580\n"
				     "  # Address. Default: 127.0.0.1:10580.\n"
				     "  listen: 127.0.0.1:10580\n"));
	assert_non_null(strstr(text, "\nsize: 2GiB\n"));
	assert_non_null(strstr(text, "\nkeep: 7d\n"));
	assert_non_null(strstr(text, "\n# user:\n"));
	assert_non_null(strstr(text, "\ninterfaces:\n  - lo\n"));
	assert_non_null(strstr(text, "\nmapping: {}\n"));
	assert_non_null(strstr(text, "  # A pipe. An empty one, {}, is on with all defaults.\n"
				     "  # pipe:\n    # Path. Default: np.\n"
				     "    # path: np\n"));
	assert_null(strstr(text, "old"));
	free(text);
	opt_free(&program, &c);
}

static char *written(void (*write_it)(const struct opt_program *, FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	write_it(&program, f);
	fclose(f);
	return text;
}

static void help_man_and_completion_name_the_options(void **state)
{
	char *help = written(opt_help), *man = written(opt_man), *shell = written(opt_completion);

	(void)state;
	assert_non_null(strstr(help, "Usage: prog [OPTION...] FILE...\n\ndoes things\n"));
	assert_non_null(strstr(help, "\n      --check                   Only check.\n"));
	assert_non_null(
		strstr(help, "\n  -q, --[no-]quiet              Say less. (default true)\n"));
	assert_non_null(
		strstr(help, "\n  -p, --port PORT               TCP port. (default 10580)\n"));
	assert_non_null(strstr(man,
			       ".TP\n\\fB\\-l\\fR, \\fB\\-\\-listen\\fR \\fIADDR\\fR\nAddress. "
			       "Default: 127.0.0.1:10580.\n"));
	assert_non_null(strstr(man, ".SH FILES\n.TP\n.I /etc/prog.yaml\n"));
	assert_non_null(strstr(man, ".TP\n.B plugins.pipe.readers\n"));
	assert_non_null(strstr(shell,
			       "\t--log-level)\n\t\tCOMPREPLY=($(compgen -W \"error warn info "
			       "debug\" -- \"$word\"))"));
	assert_non_null(strstr(shell, "complete -o default -F _prog prog\n"));
	assert_null(strstr(help, "--old"));
	free(help);
	free(man);
	free(shell);
}

static void the_nearest_word_is_found(void **state)
{
	static const char *const words[] = {"decode", "encode", "registry", "read", "top"};

	(void)state;
	assert_string_equal(opt_nearest("decod", words, 5), "decode");
	assert_string_equal(opt_nearest("ENCODE", words, 5), "encode");
	assert_string_equal(opt_nearest("regsitry", words, 5), "registry");
	assert_string_equal(opt_nearest("raed", words, 5), "read");
	assert_null(opt_nearest("xyzzy", words, 5));
	assert_null(opt_nearest("", words, 5));
	assert_null(opt_nearest("abc", words, 5)); /* "top" has nothing of it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_applied),
		cmocka_unit_test(a_file_is_read),
		cmocka_unit_test(every_error_is_said_with_its_place),
		cmocka_unit_test(all_errors_are_said_in_one_run),
		cmocka_unit_test(very_many_errors_are_counted),
		cmocka_unit_test(harmless_surprises_are_warned_about),
		cmocka_unit_test(nothing_in_a_file_changes_nothing),
		cmocka_unit_test(anchors_are_followed_within_bounds),
		cmocka_unit_test(a_file_beyond_1_mib_is_refused),
		cmocka_unit_test(the_command_line_goes_over_the_file),
		cmocka_unit_test(command_lines_are_understood_or_explained),
		cmocka_unit_test(what_is_dumped_reads_back_to_the_same),
		cmocka_unit_test(a_dump_is_for_people),
		cmocka_unit_test(help_man_and_completion_name_the_options),
		cmocka_unit_test(the_nearest_word_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A configuration file: it is refused with a reason, or what it says is dumped, read back, and
 * dumped to the same. make fuzz, or: fuzz_opt tests/fuzz/corpus/opt */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/opt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct item {
	char *name;
	int64_t n;
	struct opt_texts list;
};
struct config {
	int flag, choice, section, inner;
	int64_t n;
	uint64_t size_bytes, time_s;
	char *text, *inner_text;
	struct opt_texts list;
	struct opt_map map;
	struct opt_items items;
};

#define AT(member)   .offset = offsetof(struct config, member)
#define ITEM(member) .offset = offsetof(struct item, member)
static const char *const choices[] = {"one", "two", "", NULL};
static const struct opt item_opts[] = {
	{.key = "name", .type = OPT_TEXT, ITEM(name)},
	{.key = "n", .type = OPT_INT, ITEM(n), .default_text = "3"},
	{.key = "list", .type = OPT_TEXTS, ITEM(list)},
	OPT_END,
};
static const struct opt opts[] = {
	{.key = "flag", .type = OPT_FLAG, AT(flag)},
	{.key = "n", .type = OPT_INT, AT(n)},
	{.key = "a.size", .type = OPT_SIZE, AT(size_bytes)},
	{.key = "a.time", .type = OPT_DURATION, AT(time_s), .default_text = "1h"},
	{.key = "a.choice", .type = OPT_CHOICE, AT(choice), .choices = choices},
	{.key = "text", .type = OPT_TEXT, AT(text)},
	{.key = "list", .type = OPT_TEXTS, AT(list), .default_text = "[x]"},
	{.key = "map", .type = OPT_MAP, AT(map)},
	{.key = "items",
	 .type = OPT_ITEMS,
	 AT(items),
	 .item_opts = item_opts,
	 .item_size = sizeof(struct item)},
	{.key = "s", .type = OPT_SECTION, AT(section)},
	{.key = "s.old", .type = OPT_IGNORED, .help = "gone"},
	{.key = "s.in", .type = OPT_SECTION, AT(inner)},
	{.key = "s.in.text", .type = OPT_TEXT, AT(inner_text)},
	OPT_END,
};
static const struct opt_program program = {.name = "fuzz", .opts = opts};

static char *dumped(const struct config *c, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	opt_dump(&program, c, f);
	fclose(f);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static FILE *quiet;
	struct config first = {0}, second = {0};
	char *one, *two;
	size_t one_len, two_len;

	if (!quiet)
		quiet = fopen("/dev/null", "w");
	if (opt_defaults(&program, &first) || opt_defaults(&program, &second))
		abort();
	if (!opt_read_text(&program, &first, "f", (const char *)data, len, quiet)) {
		one = dumped(&first, &one_len);
		if (one_len <= 1 << 20) { /* aliases can say more than fits a file */
			if (opt_read_text(&program, &second, "dump", one, one_len, stderr))
				abort();
			two = dumped(&second, &two_len);
			if (strcmp(one, two))
				abort();
			free(two);
		}
		free(one);
	}
	opt_free(&program, &first);
	opt_free(&program, &second);
	return 0;
}

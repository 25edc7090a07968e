#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "registry/reading.h"
#include "wire/cursor.h"

#define BYTES_MAX       (READING_TEXT_MAX / 2)
#define IPV6_BYTES      40
#define NEXT_HOP_BY_HOP 0
#define NEXT_OPTIONS    60 /* destination options */
#define HEADERS_MAX     16

/* Readings as they are found: naturally likely ones first, registered ones before all others. */
struct found {
	const struct registry *r;
	struct reading *out;
	size_t n, cap;
};

static int is_same(const struct reading *a, const struct reading *b)
{
	return a->as == b->as && a->tag.experiment == b->tag.experiment &&
	       a->tag.activity == b->tag.activity && a->dialect == b->dialect &&
	       a->has_entropy == b->has_entropy && a->entropy == b->entropy;
}

/* Keep a reading: behind those that are at least as good. */
static struct reading *keep(struct found *f, const struct reading *new)
{
	size_t at = f->n;

	for (size_t i = 0; i < f->n; i++)
		if (is_same(&f->out[i], new))
			return &f->out[i];
	while (at && new->registered && !f->out[at - 1].registered)
		at--;
	if (at == f->cap)
		return NULL;
	if (f->n == f->cap)
		f->n--; /* the least likely one makes room */
	memmove(&f->out[at + 1], &f->out[at], (f->n - at) * sizeof(*new));
	f->out[at] = *new;
	f->n++;
	return &f->out[at];
}

static void __attribute__((format(printf, 2, 3))) add_note(struct reading *x, const char *fmt, ...)
{
	size_t used = strlen(x->note);
	va_list args;

	if (used && used + 2 < sizeof(x->note)) {
		strcpy(x->note + used, "; ");
		used += 2;
	}
	va_start(args, fmt);
	vsnprintf(x->note + used, sizeof(x->note) - used, fmt, args);
	va_end(args);
}

/* Fill in what follows from the tag: names and the other forms. */
static void complete(const struct registry *r, struct reading *x)
{
	unsigned int e = x->tag.experiment, a = x->tag.activity;

	x->experiment = registry_experiment_name(r, e);
	x->activity = registry_activity_name(r, e, a);
	x->registered = x->activity != NULL;
	x->has_label = !scitag_label_encode(&x->label, e, a, x->entropy);
	if (a <= 255) {
		x->has_option = 1;
		x->option[0] = SCITAG_OPTION_PLAIN;
		x->option[1] = 3;
		x->option[2] = (uint8_t)(e >> 8);
		x->option[3] = (uint8_t)e;
		x->option[4] = (uint8_t)a;
	}
	x->scitag_flow = scitag_flow_number(x->tag);
	if (!x->has_label)
		add_note(x, "no flow label can say it: those end at 511/63");
	if (!x->registered && (e == 16 || e == 23))
		add_note(x, "before March 2022 experiment 16 was atlas, 23 cms");
}

static struct reading *add_label(struct found *f, uint32_t label, const char *note)
{
	struct reading x = {.as = READING_LABEL, .has_entropy = 1};

	x.tag = scitag_label_decode(label);
	x.entropy = label & SCITAG_ENTROPY_MASK;
	complete(f->r, &x);
	if (*note)
		add_note(&x, "%s", note);
	if (!label)
		add_note(&x, "label 0 is no label: never a tag");
	else if (x.registered)
		add_note(&x, "one in %zu random labels looks registered",
			 (size_t)SCITAG_LABEL_CODES / f->r->n_pairs);
	return keep(f, &x);
}

static void add_tag(struct found *f, enum reading_as as, struct scitag tag, const char *note)
{
	struct reading x = {.as = as, .tag = tag};

	complete(f->r, &x);
	if (*note)
		add_note(&x, "%s", note);
	keep(f, &x);
}

static void add_option_form(struct found *f, enum scitag_dialect dialect, struct scitag tag,
			    uint32_t value)
{
	static const char *const forms[] = {
		[SCITAG_DIALECT_PLAIN] = "",
		[SCITAG_DIALECT_LABEL24] = "the form of flowd-go 2.2, a label in three bytes",
		[SCITAG_DIALECT_LABEL32] =
			"the form of flowd-go 2.0 and 2.1, a label in four bytes",
	};
	struct reading x = {.as = READING_OPTION, .tag = tag, .dialect = dialect};

	if (dialect != SCITAG_DIALECT_PLAIN) {
		x.has_entropy = 1;
		x.entropy = value & SCITAG_ENTROPY_MASK;
	}
	complete(f->r, &x);
	if (*forms[dialect])
		add_note(&x, "%s", forms[dialect]);
	keep(f, &x);
}

/* The data of a tag option; of type 1E every form it may be, as a receiver would choose first. */
static void add_option(struct found *f, uint8_t type, uint32_t value)
{
	struct scitag tag = {0}, plain = {(uint16_t)(value >> 8), (uint8_t)value};
	enum scitag_dialect dialect = scitag_option_decode(&tag, type, value, &f->r->pairs);

	if (dialect == SCITAG_DIALECT_NONE)
		return;
	add_option_form(f, dialect, tag, value);
	if (type != SCITAG_OPTION_PLAIN)
		return;
	if (dialect == SCITAG_DIALECT_LABEL24)
		add_option_form(f, SCITAG_DIALECT_PLAIN, plain, value);
	else if (value <= SCITAG_LABEL_MASK)
		add_option_form(f, SCITAG_DIALECT_LABEL24, scitag_label_decode(value), value);
}

/* --- numbers ------------------------------------------------------------------------------------- */

/* A number somebody called scitag.flow, or just a decimal number. */
static void read_decimal(struct found *f, uint64_t number, int is_named)
{
	struct scitag tag;

	if (number <= UINT32_MAX && !scitag_from_flow_number((uint32_t)number, &tag))
		add_tag(f, READING_SCITAG, tag,
			tag.activity ? "" : "dCache takes activity 0, XRootD does not");
	if (number && number <= SCITAG_LABEL_MASK) {
		uint32_t label = (uint32_t)number;
		char note[96] = "";

		tag = scitag_label_decode(label);
		if (registry_activity_name(f->r, tag.experiment, tag.activity))
			snprintf(note, sizeof(note),
				 "sent as scitag.flow by mistake? that would be %u",
				 scitag_flow_number(tag));
		add_label(f, label, is_named || number >= SCITAG_CODES ? note : "");
	}
	if (number <= UINT32_MAX && number >> 28 == 6)
		add_label(f, (uint32_t)number & SCITAG_LABEL_MASK,
			  "the first word of an IPv6 header");
}

static void read_hex(struct found *f, uint64_t number, size_t n_digits, const char *note)
{
	if (number >> 28 == 6)
		add_label(f, (uint32_t)number & SCITAG_LABEL_MASK,
			  "the first word of an IPv6 header");
	if (n_digits <= 5)
		add_label(f, (uint32_t)number, note);
	if (n_digits == 6)
		add_option(f, SCITAG_OPTION_PLAIN, (uint32_t)number);
	if (n_digits == 8 && number >> 28 == 0 && !(number & 0xFF))
		add_option(f, SCITAG_OPTION_LABEL, (uint32_t)(number >> 8));
}

/* --- bytes --------------------------------------------------------------------------------------- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hexadecimal bytes, set apart or not. Returns how many, 0 if it is something else. *groups counts
 * the runs of digits. */
static size_t parse_bytes(const char *text, uint8_t *bytes, size_t *groups)
{
	size_t n = 0;

	*groups = 0;
	for (;;) {
		size_t digits = 0;

		text += strspn(text, " \t:,-.");
		if (!*text)
			return n;
		if ((text[0] == '0' || text[0] == '\\') && (text[1] | 0x20) == 'x')
			text += 2;
		for (; hex_value(*text) >= 0; text++, digits++) {
			int digit = hex_value(*text);

			if (n == BYTES_MAX)
				return 0;
			if (digits % 2 == 0)
				bytes[n] = (uint8_t)(digit << 4);
			else
				bytes[n++] |= (uint8_t)digit;
		}
		if (!digits || digits % 2)
			return 0;
		(*groups)++;
	}
}

/* The options of one extension header, or on their own. */
static void read_options(struct found *f, struct cursor *c)
{
	while (cursor_left(c)) {
		uint8_t type = cursor_u8(c), len;
		const uint8_t *data;

		if (type == 0) /* Pad1 */
			continue;
		len = cursor_u8(c);
		data = cursor_take(c, len);
		if (!data)
			return;
		if (type == SCITAG_OPTION_PLAIN && len == 3)
			add_option(f, type, wire_be24(data));
		else if (type == SCITAG_OPTION_LABEL && len == 4 && !data[3])
			add_option(f, type, wire_be24(data));
	}
}

/* A chain of option headers that starts here, whatever came before. Not 0 if it is one. */
static int read_headers(struct found *f, struct cursor *c)
{
	uint8_t next = NEXT_OPTIONS;

	for (int i = 0;
	     i < HEADERS_MAX && cursor_left(c) && (next == NEXT_HOP_BY_HOP || next == NEXT_OPTIONS);
	     i++) {
		uint32_t len_bytes;
		const uint8_t *data;
		struct cursor options;

		next = cursor_u8(c);
		len_bytes = 8 * (cursor_u8(c) + 1u) - 2;
		data = cursor_take(c, len_bytes);
		if (!data)
			return 0;
		cursor_init(&options, data, len_bytes);
		read_options(f, &options);
	}
	return 1;
}

static void read_bytes(struct found *f, const uint8_t *bytes, size_t n)
{
	struct cursor c;
	size_t n_before = f->n;

	if (n >= IPV6_BYTES && bytes[0] >> 4 == 6) {
		uint8_t next = bytes[6];

		add_label(f, wire_be32(bytes) & SCITAG_LABEL_MASK, "of this IPv6 header");
		cursor_init(&c, bytes + IPV6_BYTES, (uint32_t)n - IPV6_BYTES);
		if (next == NEXT_HOP_BY_HOP || next == NEXT_OPTIONS)
			read_headers(f, &c);
		return;
	}
	cursor_init(&c, bytes, (uint32_t)n);
	if (n >= 8)
		read_headers(f, &c);
	if (f->n > n_before)
		return;
	cursor_init(&c, bytes, (uint32_t)n);
	read_options(f, &c);
}

/* --- pairs --------------------------------------------------------------------------------------- */

static void read_pair(struct found *f, const char *text)
{
	size_t len = strcspn(text, ":./");
	char left[READING_TEXT_MAX], right[READING_TEXT_MAX];
	const char *from = text + len + 1;
	int experiment, activity;

	if (!text[len])
		return;
	snprintf(left, sizeof(left), "%.*s", (int)len, text);
	from += strspn(from, " \"'");
	snprintf(right, sizeof(right), "%s", from);
	for (size_t n = strlen(right); n && strchr(" \"'", right[n - 1]); n--)
		right[n - 1] = 0;
	experiment = registry_experiment_number(f->r, left);
	if (experiment < 0)
		return;
	activity = registry_activity_number(f->r, (unsigned int)experiment, right);
	if (activity >= 0)
		add_tag(f, READING_PAIR, (struct scitag){(uint16_t)experiment, (uint16_t)activity},
			"");
}

/* --- all of it ----------------------------------------------------------------------------------- */

/* Past "scitag.flow=" or "SciTag:", if the text starts so. */
static const char *past_name(const char *text)
{
	static const char *const names[] = {"scitag.flow=", "scitag.flow:", "scitag:", "scitag="};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncasecmp(text, names[i], strlen(names[i]))) {
			text += strlen(names[i]);
			return text + strspn(text, " ");
		}
	return NULL;
}

size_t reading_of(const struct registry *r, const char *text, struct reading *out, size_t cap)
{
	struct found f = {.r = r, .out = out, .cap = cap};
	uint8_t bytes[BYTES_MAX];
	char trimmed[READING_TEXT_MAX + 1];
	size_t len, digits, hex_digits, groups, n_bytes;
	const char *hex, *named;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len && strchr(" \t\r\n", text[len - 1]))
		len--;
	if (!len || len > READING_TEXT_MAX)
		return 0;
	memcpy(trimmed, text, len);
	trimmed[len] = 0;

	named = past_name(trimmed);
	if (named) {
		digits = strspn(named, "0123456789");
		if (digits && digits <= 18 && !named[digits])
			read_decimal(&f, strtoull(named, NULL, 10), 1);
		return f.n;
	}
	digits = strspn(trimmed, "0123456789");
	hex = trimmed[0] == '0' && (trimmed[1] | 0x20) == 'x' ? trimmed + 2 : trimmed;
	hex_digits = strspn(hex, "0123456789abcdefABCDEF");
	n_bytes = parse_bytes(trimmed, bytes, &groups);

	read_pair(&f, trimmed);
	if (digits == len && digits <= 18)
		read_decimal(&f, strtoull(trimmed, NULL, 10), 0);
	if (!hex[hex_digits] && hex_digits && hex_digits <= 8) {
		/* without "0x" only what is as long as such things are written */
		if (hex != trimmed || (digits != len && len >= 5))
			read_hex(&f, strtoull(hex, NULL, 16), hex_digits, "");
		else if (len == 5 || (len > 5 && trimmed[0] == '0') ||
			 (len == 8 && trimmed[0] == '6'))
			read_hex(&f, strtoull(hex, NULL, 16), hex_digits, "if that is hexadecimal");
	} else if (n_bytes == 3 || n_bytes == 4) {
		read_hex(&f, n_bytes == 3 ? wire_be24(bytes) : wire_be32(bytes), 2 * n_bytes, "");
	}
	if (n_bytes >= 5)
		read_bytes(&f, bytes, n_bytes);
	return f.n;
}

const char *reading_as_name(enum reading_as as)
{
	static const char *const names[] = {
		[READING_LABEL] = "label",
		[READING_OPTION] = "option",
		[READING_SCITAG] = "scitag",
		[READING_PAIR] = "pair",
	};

	return names[as];
}

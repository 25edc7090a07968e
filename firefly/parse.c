#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/clock.h"
#include "firefly/firefly.h"

#define PAYLOAD_MAX_BYTES 65507
#define DEPTH_MAX         16
#define INTERVAL_MAX_US   (30LL * 86400 * US_PER_S)
#define REPLACEMENT       "\xEF\xBF\xBD" /* U+FFFD */

const char *firefly_producer_name(enum firefly_producer p)
{
	static const char *const names[FIREFLY_PRODUCER_COUNT] = {
		"other", "flowd", "flowd-go", "xrootd", "dcache", "scitag-marker",
	};

	return (unsigned int)p < FIREFLY_PRODUCER_COUNT ? names[p] : "other";
}

const char *firefly_verdict_name(enum firefly_verdict v)
{
	static const char *const names[FIREFLY_VERDICT_COUNT] = {
		"ok",          "no_json",  "not_utf8",  "bad_version", "no_flow_id",
		"bad_address", "bad_port", "bad_state", "bad_number",  "too_long",
	};

	return (unsigned int)v < FIREFLY_VERDICT_COUNT ? names[v] : "unknown";
}

/* --- text before the JSON ------------------------------------------------------------ */

struct span { /* a piece of the datagram; never terminated */
	const char *text;
	size_t len_bytes;
};

/* Copy what fits; whatever is not printable ASCII becomes '?'. "-" is syslog's word for nothing. */
static void copy_word(char *to, size_t cap_bytes, struct span word)
{
	size_t n = word.len_bytes < cap_bytes ? word.len_bytes : cap_bytes - 1;

	if (word.len_bytes == 1 && word.text[0] == '-')
		n = 0;
	for (size_t i = 0; i < n; i++)
		to[i] = word.text[i] > ' ' && word.text[i] <= '~' ? word.text[i] : '?';
	to[n] = '\0';
}

/* Cut the last blank-separated word, which may be empty, off *line. -ENOENT when nothing is left. */
static int cut_last_word(struct span *line, struct span *word)
{
	const char *blank;

	if (!line->text)
		return -ENOENT;
	blank = memrchr(line->text, ' ', line->len_bytes);
	if (!blank) {
		*word = *line;
		*line = (struct span){NULL, 0};
		return 0;
	}
	word->text = blank + 1;
	word->len_bytes = line->len_bytes - (size_t)(word->text - line->text);
	line->len_bytes = (size_t)(blank - line->text);
	return 0;
}

static int32_t parse_priority(struct span line)
{
	int32_t value = 0;

	if (line.len_bytes == 0 || line.text[0] != '<')
		return -1;
	for (size_t i = 1; i < line.len_bytes && i <= 4; i++) {
		if (line.text[i] == '>')
			return i > 1 ? value : -1;
		if (line.text[i] < '0' || line.text[i] > '9')
			return -1;
		value = value * 10 + line.text[i] - '0';
	}
	return -1;
}

/* Best effort: a header never rejects a firefly. Fields are found backwards from the message id,
 * so that a rewritten beginning (syslog-ng) and empty fields (flowd-go) do not shift them. */
static void parse_header(struct firefly *ff, struct span line)
{
	static const char msgid[] = "firefly-json";
	const char *found = memmem(line.text, line.len_bytes, msgid, sizeof(msgid) - 1);
	struct span procid, app, host, time;

	while (line.len_bytes && strchr(" \t\r\n", line.text[line.len_bytes - 1]))
		line.len_bytes--;
	if (line.len_bytes == 0) {
		ff->flags |= FIREFLY_NO_HEADER;
		return;
	}
	ff->priority = parse_priority(line);
	if (!found || found == line.text || found[-1] != ' ') {
		ff->flags |= FIREFLY_ODD_HEADER;
		return;
	}
	line.len_bytes = (size_t)(found - line.text) - 1;
	if (cut_last_word(&line, &procid) || cut_last_word(&line, &app) ||
	    cut_last_word(&line, &host) || cut_last_word(&line, &time)) {
		ff->flags |= FIREFLY_ODD_HEADER;
		return;
	}
	copy_word(ff->app, sizeof(ff->app), app);
	copy_word(ff->host, sizeof(ff->host), host);
	if (clock_parse_utc(&ff->header_utc_us, time.text, time.len_bytes))
		ff->flags |= FIREFLY_NO_HEADER_TIME;
}

/* --- the JSON as bytes ---------------------------------------------------------------- */

/* Bytes of the UTF-8 character at p (RFC 3629), 0 if there is none. */
static size_t utf8_len_bytes(const unsigned char *p, size_t left_bytes)
{
	unsigned char low = 0x80, high = 0xBF; /* what the second byte may be */
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xC2 || p[0] > 0xF4)
		return 0;
	n = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
	if (left_bytes < n)
		return 0;
	if (p[0] == 0xE0) /* no overlong forms, no surrogates, nothing above U+10FFFF */
		low = 0xA0;
	else if (p[0] == 0xED)
		high = 0x9F;
	else if (p[0] == 0xF0)
		low = 0x90;
	else if (p[0] == 0xF4)
		high = 0x8F;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xBF)
			return 0;
	return n;
}

static int span_is(struct span s, const char *word)
{
	return s.len_bytes == strlen(word) && memcmp(s.text, word, s.len_bytes) == 0;
}

struct scan {                   /* what a walk over an object's bytes finds out */
	size_t len_bytes;       /* of the object, up to its closing brace */
	size_t bad_application; /* bytes of context.application that are not UTF-8 */
};

/* Walk one JSON object, text[0] being its brace, only as far as nesting, strings and encoding go;
 * the grammar is the JSON library's business. With `copy` (len_bytes + 2 * bad_application) the
 * object is written there, U+FFFD for each bad byte. */
static enum firefly_verdict scan_object(struct scan *scan, struct span in, char *copy)
{
	struct span key[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}}; /* the member we are in, by depth */
	unsigned int depth = 0;
	char before = 0; /* last byte that was neither blank nor in a string */
	int in_string = 0, replaceable = 0;
	size_t string_start = 0;

	memset(scan, 0, sizeof(*scan));
	for (size_t i = 0, n; i < in.len_bytes; i += n) {
		const char *at = in.text + i;

		n = utf8_len_bytes((const unsigned char *)at, in.len_bytes - i);
		if (n == 0) {
			if (!replaceable)
				return FIREFLY_NOT_UTF8;
			scan->bad_application++;
			if (copy)
				copy = mempcpy(copy, REPLACEMENT, strlen(REPLACEMENT));
			n = 1;
			continue;
		}
		if (in_string && *at == '\\' && i + 1 < in.len_bytes &&
		    utf8_len_bytes((const unsigned char *)at + 1, 1) == 1)
			n = 2;
		if (copy)
			copy = mempcpy(copy, at, n);
		if (in_string) {
			if (*at != '"')
				continue;
			in_string = replaceable = 0;
			if (depth < 3 && before != ':')
				key[depth] =
					(struct span){in.text + string_start, i - string_start};
			continue;
		}
		switch (*at) {
		case '"':
			in_string = 1;
			string_start = i + 1;
			replaceable = depth == 2 && before == ':' && span_is(key[1], "context") &&
				      span_is(key[2], "application");
			break;
		case '{':
		case '[':
			if (++depth > DEPTH_MAX)
				return FIREFLY_NO_JSON;
			before = *at;
			break;
		case '}':
		case ']':
			if (--depth == 0) {
				scan->len_bytes = i + 1;
				return FIREFLY_OK;
			}
			before = *at;
			break;
		case ' ':
		case '\t':
		case '\r':
		case '\n':
			break;
		default:
			before = *at;
		}
	}
	return FIREFLY_NO_JSON;
}

/* The library refuses doubled members and numbers beyond 64 bits only if asked, so ask first and
 * give way: the last of two members counts, and a huge number in some vendor's member does not make
 * a firefly unreadable. */
static json_t *load_lenient(struct firefly *ff, const char *text, size_t len_bytes)
{
	size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;

	for (;;) {
		json_error_t error;
		json_t *root = json_loadb(text, len_bytes, flags, &error);

		if (root)
			return root;
		if (json_error_code(&error) == json_error_duplicate_key &&
		    (flags & JSON_REJECT_DUPLICATES)) {
			flags &= ~(size_t)JSON_REJECT_DUPLICATES;
			ff->flags |= FIREFLY_DUPLICATE_MEMBER;
		} else if (json_error_code(&error) == json_error_numeric_overflow &&
			   !(flags & JSON_DECODE_INT_AS_REAL)) {
			flags |= JSON_DECODE_INT_AS_REAL;
		} else {
			return NULL;
		}
	}
}

static enum firefly_verdict load(struct firefly *ff, json_t **out, struct span in)
{
	enum firefly_verdict verdict;
	struct scan scan, again;
	char *copy = NULL;
	size_t len_bytes;

	verdict = scan_object(&scan, in, NULL);
	if (verdict)
		return verdict;
	for (size_t i = scan.len_bytes; i < in.len_bytes; i++)
		if (!memchr("\0\n\r \t", in.text[i], 5))
			return FIREFLY_NO_JSON;
	len_bytes = scan.len_bytes;
	if (scan.bad_application) {
		len_bytes += scan.bad_application * (strlen(REPLACEMENT) - 1);
		copy = malloc(len_bytes);
		if (!copy)
			return FIREFLY_NO_JSON;
		scan_object(&again, (struct span){in.text, scan.len_bytes}, copy);
	}
	*out = load_lenient(ff, copy ? copy : in.text, len_bytes);
	free(copy);
	return *out ? FIREFLY_OK : FIREFLY_NO_JSON;
}

/* --- members ---------------------------------------------------------------------------- */

/* The text of a string without NUL in it, else NULL. */
static const char *to_text(const json_t *value)
{
	const char *text = json_string_value(value);

	return text && strlen(text) == json_string_length(value) ? text : NULL;
}

/* NULL and null are the same: unsaid. */
static const json_t *member(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return json_is_null(value) ? NULL : value;
}

/* An integer, an integral float or a decimal string; beyond 64 bits it sticks at the end of the
 * range. -EINVAL if it is none of them. */
static int to_integer(int64_t *out, const json_t *value)
{
	const char *text, *digits;

	if (json_is_integer(value)) {
		*out = json_integer_value(value);
		return 0;
	}
	if (json_is_real(value)) {
		double real = json_real_value(value);

		if (real != floor(real))
			return -EINVAL;
		*out = real >= 0x1p63 ? INT64_MAX : real < -0x1p63 ? INT64_MIN : (int64_t)real;
		return 0;
	}
	text = to_text(value);
	if (!text)
		return -EINVAL;
	digits = text + (*text == '-');
	if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0')
		return -EINVAL;
	*out = strtoll(text, NULL, 10);
	return 0;
}

static int64_t optional_time(struct firefly *ff, const json_t *lifecycle, const char *name)
{
	const json_t *value = member(lifecycle, name);
	int64_t utc_us;

	if (!value || (json_is_string(value) && json_string_length(value) == 0))
		return FIREFLY_TIME_UNKNOWN;
	if (json_is_string(value) &&
	    clock_parse_utc(&utc_us, json_string_value(value), json_string_length(value)) == 0)
		return utc_us;
	ff->flags |= FIREFLY_MEMBER_ODD;
	return FIREFLY_TIME_UNKNOWN;
}

static uint64_t optional_bytes(struct firefly *ff, const json_t *usage, const char *name)
{
	const json_t *value = member(usage, name);
	int64_t count;

	if (!value)
		return FIREFLY_BYTES_UNSAID;
	if (to_integer(&count, value) == 0 && count >= 0 && count < INT64_MAX)
		return (uint64_t)count;
	ff->flags |= FIREFLY_MEMBER_ODD;
	return FIREFLY_BYTES_UNSAID;
}

/* An optional section: NULL if it is not there, or no object (then it is odd). */
static const json_t *optional_section(struct firefly *ff, const json_t *root, const char *name)
{
	const json_t *value = member(root, name);

	if (value && !json_is_object(value)) {
		ff->flags |= FIREFLY_MEMBER_ODD;
		return NULL;
	}
	return value;
}

/* --- sections --------------------------------------------------------------------------- */

/* Address text to 16 bytes, IPv4 as v4-mapped. *text_family is what the text looked like. */
static int to_address(uint8_t ip[16], int *text_family, const json_t *value)
{
	static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
	static const uint8_t unspecified[16];
	const char *text = to_text(value);
	char plain[INET6_ADDRSTRLEN];
	size_t len_bytes;

	if (!text)
		return -EINVAL;
	len_bytes = strlen(text);
	if (len_bytes >= 2 && text[0] == '[' && text[len_bytes - 1] == ']') {
		text++;
		len_bytes -= 2;
	}
	if (strcspn(text, "%") < len_bytes)
		len_bytes = strcspn(text, "%");
	if (len_bytes >= sizeof(plain))
		return -EINVAL;
	memcpy(plain, text, len_bytes);
	plain[len_bytes] = '\0';
	if (inet_pton(AF_INET, plain, ip + 12) == 1) {
		memcpy(ip, mapped, sizeof(mapped));
		*text_family = 4;
	} else if (inet_pton(AF_INET6, plain, ip) == 1) {
		*text_family = 6;
	} else {
		return -EINVAL;
	}
	if (memcmp(ip, mapped, sizeof(mapped)) == 0)
		return memcmp(ip + 12, unspecified, 4) == 0 ? -EINVAL : 4;
	return memcmp(ip, unspecified, 16) == 0 ? -EINVAL : 6;
}

static const struct protocol {
	const char *name;
	uint8_t number, has_ports;
} protocols[] = {
	{"tcp", 6, 1},  {"udp", 17, 1},  {"sctp", 132, 1}, {"dccp", 33, 1},   {"udplite", 136, 1},
	{"icmp", 1, 0}, {"gre", 47, 0},  {"esp", 50, 0},   {"icmpv6", 58, 0}, {"ipv6-icmp", 58, 0},
	{"ipip", 4, 0}, {"ipv6", 41, 0}, {"ah", 51, 0},
};

/* By name or number; 0 if unknown. Unknown ones are taken to have no ports. */
static uint8_t to_protocol(const json_t *value, int *has_ports)
{
	const char *name = to_text(value);
	int64_t number = 0;

	if (to_integer(&number, value) || number < 0 || number > 255)
		number = 0;
	*has_ports = 0;
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		if (number == protocols[i].number ||
		    (name && strcasecmp(name, protocols[i].name) == 0)) {
			*has_ports = protocols[i].has_ports;
			return protocols[i].number;
		}
	}
	return (uint8_t)number;
}

static enum firefly_verdict parse_port(uint16_t *port, const json_t *value, int required)
{
	int64_t number;

	if (value && to_integer(&number, value) == 0 && number >= 1 && number <= 65535) {
		*port = (uint16_t)number;
		return FIREFLY_OK;
	}
	return required ? FIREFLY_BAD_PORT : FIREFLY_OK;
}

static enum firefly_verdict parse_flow_id(struct firefly *ff, const json_t *id)
{
	const json_t *src = member(id, "src-ip"), *dst = member(id, "dst-ip");
	const json_t *protocol = member(id, "protocol");
	const char *afi = to_text(member(id, "afi"));
	int family, dst_family, src_text = 0, dst_text = 0, has_ports;
	struct flow_key *key = &ff->key;

	if (!json_is_object(id) || !src || !dst || !protocol)
		return FIREFLY_NO_FLOW_ID;
	family = to_address(key->src_ip, &src_text, src);
	dst_family = to_address(key->dst_ip, &dst_text, dst);
	if (family < 0 || family != dst_family)
		return FIREFLY_BAD_ADDRESS;
	key->family = (uint8_t)family;
	/* a v4-mapped text under "ipv6" is not wrong, only unfolded */
	if (!afi || strncasecmp(afi, "ipv", 3) != 0 || strlen(afi) != 4 ||
	    (afi[3] - '0' != family && (afi[3] - '0' != src_text || src_text != dst_text)))
		ff->flags |= FIREFLY_AFI_WRONG;

	key->protocol = to_protocol(protocol, &has_ports);
	if (key->protocol == 0)
		ff->flags |= FIREFLY_MEMBER_ODD;
	if (parse_port(&key->src_port, member(id, "src-port"), has_ports) ||
	    parse_port(&key->dst_port, member(id, "dst-port"), has_ports))
		return FIREFLY_BAD_PORT;
	if (!has_ports)
		ff->flags |= FIREFLY_NO_PORTS;
	return FIREFLY_OK;
}

static enum firefly_verdict parse_lifecycle(struct firefly *ff, const json_t *lifecycle)
{
	const char *state = to_text(member(lifecycle, "state"));

	if (state && strcasecmp(state, "start") == 0)
		ff->state = FIREFLY_START;
	else if (state && strcasecmp(state, "ongoing") == 0)
		ff->state = FIREFLY_ONGOING;
	else if (state && strcasecmp(state, "end") == 0)
		ff->state = FIREFLY_END;
	else
		return FIREFLY_BAD_STATE;
	ff->current_utc_us = optional_time(ff, lifecycle, "current-time");
	ff->start_utc_us = optional_time(ff, lifecycle, "start-time");
	if (ff->state == FIREFLY_END) {
		ff->end_utc_us = optional_time(ff, lifecycle, "end-time");
		if (ff->end_utc_us == FIREFLY_TIME_UNKNOWN)
			ff->flags |= FIREFLY_MEMBER_ODD;
	}
	return FIREFLY_OK;
}

/* Cut at 63 bytes, at a character's start. */
static void copy_application(struct firefly *ff, const json_t *value)
{
	const char *text = json_string_value(value);
	size_t n;

	if (!text) {
		if (value)
			ff->flags |= FIREFLY_MEMBER_ODD;
		return;
	}
	n = strnlen(text, sizeof(ff->application));
	if (n == sizeof(ff->application))
		for (n--; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80; n--)
			;
	memcpy(ff->application, text, n);
	ff->application[n] = '\0';
}

static enum firefly_verdict parse_context(struct firefly *ff, const json_t *context)
{
	const json_t *experiment = member(context, "experiment-id");
	const json_t *activity = member(context, "activity-id");
	int64_t e = 0, a = 0;

	copy_application(ff, member(context, "application"));
	if ((experiment && to_integer(&e, experiment)) || (activity && to_integer(&a, activity)))
		return FIREFLY_BAD_NUMBER;
	if (e < 0 || e > SCITAG_EXPERIMENT_MAX || a < 0 || a > SCITAG_ACTIVITY_MAX ||
	    (e == 0 && a == 0)) {
		ff->flags |= FIREFLY_NO_TAG;
		return FIREFLY_OK;
	}
	ff->tag.experiment = (uint16_t)e;
	ff->tag.activity = (uint16_t)a;
	return FIREFLY_OK;
}

static int has_prefix(const char *text, const char *prefix)
{
	return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

static int is_dcache_application(const char *application)
{
	static const char *const known[] = {
		"http", "https", "xrootd", "remotehttpdatatransfer", "remotehttpsdatatransfer",
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcasecmp(application, known[i]) == 0)
			return 1;
	return 0;
}

static enum firefly_producer tell_producer(const struct firefly *ff)
{
	if (has_prefix(ff->app, "flowd-go"))
		return FIREFLY_FLOWD_GO;
	if (has_prefix(ff->app, "flowd"))
		return FIREFLY_FLOWD;
	if (strcasecmp(ff->app, "xrootd") == 0)
		return FIREFLY_XROOTD;
	if (strcasecmp(ff->app, "dCache") == 0)
		return FIREFLY_DCACHE;
	if (has_prefix(ff->app, "scitag"))
		return FIREFLY_OURS;
	if (has_prefix(ff->application, "flowd-go")) /* builds without a version have no app name */
		return FIREFLY_FLOWD_GO;
	if (has_prefix(ff->application, "flowd v"))
		return FIREFLY_FLOWD;
	if ((ff->flags & FIREFLY_NO_HEADER) && is_dcache_application(ff->application))
		return FIREFLY_DCACHE; /* 10.2 sends bare JSON */
	return FIREFLY_OTHER;
}

/* Senders count as the flow's source sees it; dCache's pool is the destination and counts as such. */
static void parse_usage(struct firefly *ff, const json_t *usage)
{
	uint64_t sent = optional_bytes(ff, usage, "sent");
	uint64_t received = optional_bytes(ff, usage, "received");
	int is_dst_view = ff->producer == FIREFLY_DCACHE;

	ff->src_to_dst_bytes = is_dst_view ? received : sent;
	ff->dst_to_src_bytes = is_dst_view ? sent : received;
	if (ff->producer == FIREFLY_XROOTD &&
	    (sent != FIREFLY_BYTES_UNSAID || received != FIREFLY_BYTES_UNSAID))
		ff->flags |= FIREFLY_USAGE_CUMULATIVE;
}

/* dCache since 11.2.2 says [now, now + duration] at the end; 11.0 to 11.2.1 say [now, now]. */
static void repair_interval(struct firefly *ff, const json_t *storage_stats)
{
	int64_t now_utc_us =
		ff->current_utc_us != FIREFLY_TIME_UNKNOWN ? ff->current_utc_us : ff->header_utc_us;
	int64_t connection_ms = 0;

	if (ff->producer != FIREFLY_DCACHE || ff->start_utc_us == FIREFLY_TIME_UNKNOWN ||
	    ff->end_utc_us == FIREFLY_TIME_UNKNOWN)
		return;
	if (now_utc_us != FIREFLY_TIME_UNKNOWN && ff->end_utc_us > now_utc_us + US_PER_S) {
		ff->start_utc_us -= ff->end_utc_us - now_utc_us;
		ff->end_utc_us = now_utc_us;
		ff->flags |= FIREFLY_REPAIRED;
	}
	if (ff->start_utc_us == ff->end_utc_us &&
	    to_integer(&connection_ms, member(storage_stats, "connection-time")) == 0 &&
	    connection_ms > 0 && connection_ms <= INTERVAL_MAX_US / 1000) {
		ff->start_utc_us -= connection_ms * 1000;
		ff->flags |= FIREFLY_REPAIRED;
	}
}

static void check_interval(struct firefly *ff)
{
	if (ff->start_utc_us == FIREFLY_TIME_UNKNOWN || ff->end_utc_us == FIREFLY_TIME_UNKNOWN)
		return;
	if (ff->end_utc_us >= ff->start_utc_us &&
	    ff->end_utc_us - ff->start_utc_us <= INTERVAL_MAX_US)
		return;
	ff->start_utc_us = ff->end_utc_us = FIREFLY_TIME_UNKNOWN;
	ff->flags |= FIREFLY_BAD_INTERVAL;
}

static uint64_t optional_count(const json_t *object, const char *name, uint64_t max)
{
	int64_t count;

	if (to_integer(&count, member(object, name)) || count < 0 || (uint64_t)count > max)
		return 0;
	return (uint64_t)count;
}

/* flowd-go's lean set; its other modes spell retransmits small. */
static void parse_tcp(struct firefly_tcp *tcp, const json_t *info, const json_t *cong)
{
	static const struct {
		const char *name;
		size_t offset;
	} counts[] = {
		{"Retransmits", offsetof(struct firefly_tcp, retransmits)},
		{"sndMss", offsetof(struct firefly_tcp, send_mss_bytes)},
		{"pMtu", offsetof(struct firefly_tcp, path_mtu_bytes)},
		{"rttVar", offsetof(struct firefly_tcp, rtt_var_us)},
		{"sndSsThresh", offsetof(struct firefly_tcp, ssthresh_segments)},
		{"sndCwnd", offsetof(struct firefly_tcp, cwnd_segments)},
		{"advMss", offsetof(struct firefly_tcp, advertised_mss_bytes)},
		{"minRtt", offsetof(struct firefly_tcp, min_rtt_us)},
	};
	const char *algorithm = to_text(member(cong, "algorithm"));

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		*(uint32_t *)((char *)tcp + counts[i].offset) =
			(uint32_t)optional_count(info, counts[i].name, UINT32_MAX);
	if (!tcp->retransmits)
		tcp->retransmits = (uint32_t)optional_count(info, "retransmits", UINT32_MAX);
	tcp->delivery_rate_bytes_per_s = optional_count(info, "deliveryRate", INT64_MAX);
	tcp->sent_bytes = optional_count(info, "bytesSent", INT64_MAX);
	copy_word(tcp->congestion, sizeof(tcp->congestion),
		  (struct span){algorithm ? algorithm : "", algorithm ? strlen(algorithm) : 0});
}

/* flowd's cached netlink is [state, object], its plugin nests tcp_info, flowd-go nests tcpInfo; only
 * the last counts in microseconds, all others in milliseconds. */
static void parse_netlink(struct firefly *ff, const json_t *section)
{
	const json_t *value = section, *nested;
	double unit_us = 1000;
	int64_t integer;
	double rtt;

	for (size_t i = 0; json_is_array(section) && i < json_array_size(section); i++)
		if (json_is_object(json_array_get(section, i)))
			value = json_array_get(section, i);
	if (!value)
		return;
	if (!json_is_object(value)) {
		ff->flags |= FIREFLY_MEMBER_ODD;
		return;
	}
	nested = member(value, "tcp_info");
	if (json_is_object(nested))
		value = nested;
	nested = member(value, "tcpInfo");
	if (ff->rtt_us != FIREFLY_RTT_UNSAID)
		return;
	if (json_is_object(nested)) {
		parse_tcp(&ff->tcp, nested, member(value, "cong"));
		value = nested;
		unit_us = 1;
	}
	value = member(value, "rtt");
	if (!value)
		return;
	if (json_is_number(value))
		rtt = json_number_value(value) * unit_us;
	else if (to_integer(&integer, value) == 0)
		rtt = (double)integer * unit_us;
	else
		rtt = -1;
	if (rtt >= 0 && rtt <= (double)UINT32_MAX) /* the kernel counts it in 32 bits */
		ff->rtt_us = llround(rtt);
	else
		ff->flags |= FIREFLY_MEMBER_ODD;
}

static enum firefly_verdict parse_root(struct firefly *ff, const json_t *root)
{
	enum firefly_verdict verdict;
	int64_t version;

	if (to_integer(&version, member(root, "version")) || version != 1)
		return FIREFLY_BAD_VERSION;
	verdict = parse_flow_id(ff, member(root, "flow-id"));
	if (verdict)
		return verdict;
	verdict = parse_lifecycle(ff, member(root, "flow-lifecycle"));
	if (verdict)
		return verdict;
	verdict = parse_context(ff, member(root, "context"));
	if (verdict)
		return verdict;
	ff->producer = tell_producer(ff);
	parse_usage(ff, optional_section(ff, root, "usage"));
	parse_netlink(ff, member(root, "netlink"));
	parse_netlink(ff, member(root, "skOps"));
	repair_interval(ff, optional_section(ff, root, "storage-stats"));
	check_interval(ff);
	return FIREFLY_OK;
}

enum firefly_verdict firefly_parse(struct firefly *out, const void *buf, size_t len_bytes)
{
	struct firefly ff = {
		.header_utc_us = FIREFLY_TIME_UNKNOWN,
		.current_utc_us = FIREFLY_TIME_UNKNOWN,
		.start_utc_us = FIREFLY_TIME_UNKNOWN,
		.end_utc_us = FIREFLY_TIME_UNKNOWN,
		.src_to_dst_bytes = FIREFLY_BYTES_UNSAID,
		.dst_to_src_bytes = FIREFLY_BYTES_UNSAID,
		.rtt_us = FIREFLY_RTT_UNSAID,
		.priority = -1,
	};
	enum firefly_verdict verdict;
	const char *brace;
	size_t header_bytes;
	json_t *root;

	if (len_bytes > PAYLOAD_MAX_BYTES)
		return FIREFLY_TOO_LONG;
	brace = len_bytes ? memchr(buf, '{', len_bytes) : NULL;
	if (!brace)
		return FIREFLY_NO_JSON;
	header_bytes = (size_t)(brace - (const char *)buf);
	parse_header(&ff, (struct span){buf, header_bytes});
	verdict = load(&ff, &root, (struct span){brace, len_bytes - header_bytes});
	if (verdict)
		return verdict;
	verdict = parse_root(&ff, root);
	json_decref(root);
	if (verdict)
		return verdict;
	*out = ff;
	return FIREFLY_OK;
}

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "marker/convert.h"

#define FILE_MAX_BYTES 65536
#define KEYS_MAX       128
#define VALUES_MAX     64 /* of one key */

struct setting {
	const char *key;
	int line, used;
	size_t n;
	const char
		*values[VALUES_MAX]; /* the scalars of the literal, tuples and lists taken apart */
};

struct conversion {
	const char *name;
	FILE *out, *err;
	int errors;
	char *words; /* where the next value is put */
	size_t n;
	struct setting settings[KEYS_MAX];
};

static void __attribute__((format(printf, 3, 4)))
complain(struct conversion *c, int line, const char *fmt, ...)
{
	va_list args;

	fprintf(c->err, "%s:%d: ", c->name, line);
	va_start(args, fmt);
	vfprintf(c->err, fmt, args);
	va_end(args);
	fputc('\n', c->err);
	c->errors++;
}

/* --- reading ----------------------------------------------------------------------------------- */

/* Take a literal apart. Returns what is behind it, or NULL if it cannot be read. */
static char *read_values(struct conversion *c, struct setting *s, char *p)
{
	int depth = 0;

	for (;;) {
		size_t n;

		p += strspn(p, depth ? " \t\r\n," : " \t\r,");
		if (*p == '#') {
			p += strcspn(p, "\n");
			continue;
		}
		if (!*p || *p == '\n')
			return depth ? NULL : p;
		if (*p == '(' || *p == '[') {
			depth++;
			p++;
			continue;
		}
		if (*p == ')' || *p == ']') {
			if (!depth--)
				return NULL;
			p++;
			continue;
		}
		if (s->n == VALUES_MAX)
			return NULL;
		s->values[s->n++] = c->words;
		if (*p == '\'' || *p == '"') {
			char quote = *p++;

			n = strcspn(p, quote == '"' ? "\"\n" : "'\n");
			if (p[n] != quote)
				return NULL;
			memcpy(c->words, p, n);
			p++; /* over the second quote */
		} else {
			n = strcspn(p, " \t\r\n,()[]#'\"");
			memcpy(c->words, p, n);
		}
		p += n;
		for (size_t i = 0; i < n; i++) /* YAML wants UTF-8, and nothing here needs more */
			if ((unsigned char)c->words[i] >= 0x80)
				return NULL;
		c->words += n;
		*c->words++ = 0;
	}
}

static void read_settings(struct conversion *c, char *text)
{
	char *p = text;
	int line = 1;

	while (*p) {
		char *start = p + strspn(p, " \t\r"), *key_end, *end;
		struct setting *s = &c->settings[c->n];

		end = start + strcspn(start, "\n");
		if (*start == '#' || start == end) {
			p = end + (*end == '\n');
			line++;
			continue;
		}
		key_end = start + strspn(start, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
		p = key_end + strspn(key_end, " \t");
		if (key_end == start || *p != '=') {
			complain(c, line, "expected KEY=value");
			p = end + (*end == '\n');
			line++;
			continue;
		}
		*s = (struct setting){.key = start, .line = line};
		end = read_values(c, s, p + 1);
		*key_end = 0;
		if (!end) {
			complain(c, line, "%s: a value that cannot be read", s->key);
			return; /* where the next one starts is not known */
		}
		for (char *q = p; q < end; q++)
			line += *q == '\n';
		if (++c->n == KEYS_MAX) {
			complain(c, line, "more than %d keys", KEYS_MAX - 1);
			return;
		}
		p = end;
	}
}

static struct setting *find(struct conversion *c, const char *key)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->settings[i].key, key)) {
			c->settings[i].used = 1;
			return &c->settings[i];
		}
	return NULL;
}

static const char *text_of(struct conversion *c, const char *key, const char *or_else)
{
	const struct setting *s = find(c, key);

	return s && s->n ? s->values[0] : or_else;
}

/* A port for the file as it is. */
static const char *port_of(struct conversion *c, const char *key, const char *or_else)
{
	const struct setting *s = find(c, key);

	if (!s)
		return or_else;
	if (s->n == 1 && *s->values[0] && !s->values[0][strspn(s->values[0], "0123456789")])
		return s->values[0];
	complain(c, s->line, "%s: expected a port", key);
	return or_else;
}

static int is_true(struct conversion *c, const char *key)
{
	const char *text = text_of(c, key, "False");

	return strcasecmp(text, "False") && strcmp(text, "0") && strcasecmp(text, "None") && *text;
}

/* --- writing ----------------------------------------------------------------------------------- */

static void put_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++)
		if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else if (!iscntrl((unsigned char)*text))
			fputc(*text, out);
	fputc('"', out);
}

static void put_pair(FILE *out, const char *indented_key, const char *text)
{
	fprintf(out, "%s: ", indented_key);
	put_text(out, text);
	fputc('\n', out);
}

/* Every second of the values, from first on. */
static void put_list(FILE *out, const char *indented_key, const struct setting *s, size_t first,
		     size_t step)
{
	fprintf(out, "%s: [", indented_key);
	for (size_t i = first; i < s->n; i += step) {
		if (i > first)
			fputs(", ", out);
		put_text(out, s->values[i]);
	}
	fputs("]\n", out);
}

static void convert_scan(struct conversion *c, const char *prefix)
{
	const struct setting *internal;
	char key[64];

	fputs("  scan:\n    rules:\n", c->out);
	snprintf(key, sizeof(key), "%s_INTERNAL_NETWORKS", prefix);
	internal = find(c, key);
	if (internal && internal->n) {
		fprintf(c->out, "      # %s: ", key);
		for (size_t i = 0; i < internal->n; i++) {
			put_text(c->out, internal->values[i]);
			fputc(' ', c->out);
		}
		fputs("\n      # Only what is named is marked: public addresses here. Name the "
		      "peers' prefixes instead\n      # if some of those networks are public.\n"
		      "      - remotePrefixes: [\"2000::/3\"]\n        ",
		      c->out);
	} else {
		fputs("      - ", c->out);
	}
	snprintf(key, sizeof(key), "%s_EXPERIMENT", prefix);
	put_pair(c->out, "experiment", text_of(c, key, "0"));
	snprintf(key, sizeof(key), "%s_ACTIVITY", prefix);
	put_pair(c->out, "        activity", text_of(c, key, "0"));
	snprintf(key, sizeof(key), "%s_TIMEOUT", prefix);
	find(c, key); /* nothing waits for a scan */
}

static void convert_plugin(struct conversion *c)
{
	const struct setting *s = find(c, "PLUGIN");
	const char *plugin = s && s->n ? s->values[0] : "";
	const struct setting *ids;

	fputs("plugins:\n", c->out);
	if (!strcmp(plugin, "np_api")) {
		fputs("  namedPipe:\n", c->out);
		put_pair(c->out, "    pipePath", text_of(c, "NP_API_FILE", "/var/run/flowd"));
	} else if (!strcmp(plugin, "firefly")) {
		fputs("  firefly:\n", c->out);
		put_pair(c->out, "    bindAddress", text_of(c, "FIREFLY_LISTENER_HOST", "0.0.0.0"));
		fprintf(c->out, "    bindPort: %s\n", port_of(c, "FIREFLY_LISTENER_PORT", "10514"));
	} else if (!strcmp(plugin, "netstat")) {
		convert_scan(c, "NETSTAT");
	} else if (!strcmp(plugin, "netlink")) {
		convert_scan(c, "NETLINK");
	} else if (!strcmp(plugin, "iperf")) {
		fputs("  iperf3:\n"
		      "    # iperf3's port, at either end\n"
		      "    minSourcePort: 5201\n    maxSourcePort: 5201\n"
		      "    minDestinationPort: 5201\n    maxDestinationPort: 5201\n"
		      "    randomIDs: true\n",
		      c->out);
		ids = find(c, "IPERF_FLOW_ID");
		if (ids && ids->n && ids->n % 2 == 0) {
			put_list(c->out, "    experimentIDs", ids, 0, 2);
			put_list(c->out, "    activityIDs", ids, 1, 2);
		} else if (ids) {
			complain(c, ids->line, "IPERF_FLOW_ID: expected pairs");
		}
		find(c, "IPERF_INTERNAL_NETWORKS");
	} else {
		fputs("  {}\n", c->out);
		complain(c, s ? s->line : 1, "PLUGIN: no plugin \"%s\"", plugin);
	}
}

static void convert_firefly(struct conversion *c)
{
	const char *collector = text_of(c, "UDP_FIREFLY_DST", NULL);
	const struct setting *stun = find(c, "STUN_SERVERS");
	int enrich;

	fputs("  firefly:\n    destinationPort: 10514\n", c->out);
	if (collector) {
		fputs("    sendToCollector: true\n", c->out);
		put_pair(c->out, "    collectorAddress", collector);
	}
	enrich = is_true(c, "UDP_FIREFLY_NETLINK");
	enrich |= is_true(c, "UDP_FIREFLY_WITH_NETLINK");
	if (enrich)
		fputs("    enrich: true\n", c->out);
	if (find(c, "UDP_FIREFLY_IP4_SRC") || find(c, "UDP_FIREFLY_IP6_SRC")) {
		put_pair(c->out, "    # UDP_FIREFLY_IP4_SRC",
			 text_of(c, "UDP_FIREFLY_IP4_SRC", ""));
		put_pair(c->out, "    # UDP_FIREFLY_IP6_SRC",
			 text_of(c, "UDP_FIREFLY_IP6_SRC", ""));
		fputs("    # Say which address of this host each stands for under "
		      "stun.manualMapping.\n",
		      c->out);
	}
	if (!is_true(c, "IP_DISCOVERY_ENABLED"))
		return;
	if (stun && stun->n) {
		fputs("    stun:\n", c->out);
		put_list(c->out, "      stunServers", stun, 0, 1);
	} else {
		fputs("    # IP_DISCOVERY_ENABLED: name servers to be asked under "
		      "stun.stunServers, none is asked unnamed.\n",
		      c->out);
	}
}

/* Each name of a comma list. */
static int names(const struct setting *s, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; s && i < s->n; i++)
		for (const char *p = s->values[i]; *p; p += strcspn(p, ",")) {
			p += strspn(p, ", ");
			if (!strncmp(p, name, len) && (!p[len] || strchr(", _", p[len])))
				return 1;
		}
	return 0;
}

static void convert_backends(struct conversion *c)
{
	const struct setting *s = find(c, "BACKEND"), *interface;
	int any = 0;

	fputs("backends:\n", c->out);
	if (names(s, "udp_firefly")) {
		convert_firefly(c);
		any = 1;
	}
	if (names(s, "ebpf")) { /* ebpf_el8 and ebpf_el9 too */
		fputs("  marker:\n    markingStrategy: label\n", c->out);
		interface = find(c, "NETWORK_INTERFACE");
		if (interface && interface->n)
			put_list(c->out, "    targetInterfaces", interface, 0, 1);
		else
			fputs("    discoverInterfaces: true\n", c->out);
		any = 1;
	}
	if (names(s, "prometheus")) {
		fprintf(c->out,
			"  prometheus:\n    bindAddress: \"0.0.0.0\"\n    netlinkPort: %s\n"
			"    skopsPort: 0\n    flowsMax: 1000\n",
			port_of(c, "PROMETHEUS_SRV_PORT", "9000"));
		any = 1;
	}
	if (!any) {
		fputs("  {}\n", c->out);
		complain(c, s ? s->line : 1, "BACKEND: none that is known");
	}
}

int convert_flowd(FILE *in, const char *name, FILE *out, FILE *err)
{
	/* settings that have no counterpart because nothing needs them here, and those that belong to
	 * plugins and backends that are not in use */
	static const char *const families[] = {
		"FLOW_MAP_API", "PROMETHEUS_", "NETSTAT_", "NETLINK_", "IPERF_", "FIREFLY_",
		"UDP_",         "NP_API_",     "STUN_",    "NETWORK_", "IP_",    "EBPF_"};
	struct conversion *c = calloc(1, sizeof(*c));
	char *text = calloc(3, FILE_MAX_BYTES); /* the file, then its values, each with its end */
	size_t n = 0;
	int result = -ENOMEM;

	if (c && text)
		n = fread(text, 1, FILE_MAX_BYTES - 1, in);
	if (c && text && n < FILE_MAX_BYTES - 1) {
		c->name = name;
		c->out = out;
		c->err = err;
		c->words = text + FILE_MAX_BYTES;
		read_settings(c, text);
		fprintf(out, "# from %s, a configuration of flowd\n", name);
		convert_plugin(c);
		convert_backends(c);
		for (size_t i = 0; i < c->n; i++) {
			const char *key = c->settings[i].key;
			int known = c->settings[i].used;

			for (size_t k = 0; k < sizeof(families) / sizeof(families[0]); k++)
				known |= !strncmp(key, families[k], strlen(families[k]));
			if (!known)
				complain(c, c->settings[i].line, "unknown key %s", key);
		}
		result = c->errors ? -EINVAL : 0;
	} else if (c && text) {
		fprintf(err, "%s: too long\n", name);
		result = -EFBIG;
	}
	free(text);
	free(c);
	return result;
}

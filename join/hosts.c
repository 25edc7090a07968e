#include <stdlib.h>
#include <string.h>

#include "join/chance.h"
#include "join/flow.h"
#include "join/hosts.h"
#include "join/table.h"

#define SLOTS 6 /* of ten minutes: an hour */
#define BIT19 0x80000u

struct host {
	struct flow_key key; /* its address as src_ip, nothing else */
	uint32_t newest;     /* slot of the newest flow */
	uint32_t labelled[SLOTS], registered[SLOTS];
	uint32_t with_bit19; /* unregistered labels since the last one without */
	uint8_t had_registered;
};
struct hosts {
	struct table *table;
	double p;
};

struct hosts *hosts_open(uint32_t hosts_max)
{
	struct hosts *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->table = table_open(hosts_max, sizeof(struct host));
	if (!h->table) {
		free(h);
		return NULL;
	}
	return h;
}

void hosts_close(struct hosts *h)
{
	if (!h)
		return;
	table_close(h->table);
	free(h);
}

void hosts_set_chance(struct hosts *h, double p)
{
	h->p = p;
}

static uint32_t find(const struct hosts *h, const uint8_t ip[16], struct flow_key *key)
{
	*key = (struct flow_key){0};
	memcpy(key->src_ip, ip, 16);
	return table_find(h->table, key);
}

static struct host *find_or_add(struct hosts *h, const uint8_t ip[16], int is_registered)
{
	struct flow_key key;
	uint32_t at = find(h, ip, &key), oldest;
	struct host *host;

	if (at == TABLE_NONE) {
		if (table_count(h->table) == table_max(h->table)) {
			oldest = table_oldest(h->table, 0);
			table_remove(h->table,
				     oldest != TABLE_NONE ? oldest : table_oldest(h->table, 1));
		}
		at = table_add(h->table, &key);
	}
	host = table_record(h->table, at);
	host->had_registered |= is_registered != 0;
	table_touch(h->table, at, host->had_registered);
	return host;
}

/* Slots older than an hour are emptied when time comes around to them. */
static void advance(struct host *host, uint32_t slot)
{
	uint32_t ahead = slot - host->newest;

	if (slot <= host->newest)
		return;
	ahead = ahead < SLOTS ? ahead : SLOTS;
	for (uint32_t i = 0; i < ahead; i++)
		host->labelled[(slot - i) % SLOTS] = host->registered[(slot - i) % SLOTS] = 0;
	host->newest = slot;
}

void hosts_label(struct hosts *h, const uint8_t ip[16], int is_registered, uint32_t label,
		 uint32_t before_s, uint32_t now_s)
{
	const uint32_t slot = hosts_slot(now_s), before = hosts_slot(before_s);
	struct host *host = find_or_add(h, ip, is_registered);

	advance(host, slot);
	if (before_s && before < slot && slot - before < SLOTS) {
		uint32_t *labelled = &host->labelled[before % SLOTS];
		uint32_t *registered = &host->registered[before % SLOTS];

		*labelled -= *labelled > 0;
		*registered -= is_registered && *registered > 0;
	}
	host->labelled[slot % SLOTS]++;
	host->registered[slot % SLOTS] += is_registered != 0;
	if (!before_s && !is_registered)
		host->with_bit19 = label & BIT19 ? host->with_bit19 + 1 : 0;
}

uint32_t hosts_evidence(const struct hosts *h, const uint8_t ip[16], uint32_t label, uint32_t now_s)
{
	const uint32_t now = hosts_slot(now_s);
	struct flow_key key;
	uint32_t at = find(h, ip, &key), n = 0, k = 0, evidence = 0;
	const struct host *host;

	if (at == TABLE_NONE)
		return 0;
	host = table_record(h->table, at);
	for (uint32_t i = 0; i < SLOTS && i <= host->newest; i++) {
		if (now >= host->newest - i && now - (host->newest - i) < SLOTS) {
			n += host->labelled[(host->newest - i) % SLOTS];
			k += host->registered[(host->newest - i) % SLOTS];
		}
	}
	if (chance_binomial(n, k, h->p) < CHANCE_FIVE_SIGMA)
		evidence |= FLOW_HOST_EXCESS;
	if (!(label & BIT19) && host->with_bit19 >= HOSTS_BIT19_LEARN)
		evidence |= FLOW_BIT19;
	return evidence;
}

uint32_t hosts_count(const struct hosts *h)
{
	return table_count(h->table);
}

size_t hosts_memory_bytes(const struct hosts *h)
{
	return sizeof(*h) + table_memory_bytes(h->table);
}

size_t hosts_touched_bytes(const struct hosts *h)
{
	return sizeof(*h) + table_touched_bytes(h->table);
}

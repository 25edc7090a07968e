/* Who may touch what: `lock` guards everything below it. The thread fetches and parses outside the
 * lock, then takes it to swap. Borrowers hold a count on their registry; the last one frees a
 * registry that is no longer in force. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "registry/fetch.h"
#include "registry/keeper.h"

#define DIFF_LINES_MAX 20 /* of one swap, in the log */

struct held { /* a registry and its borrowers */
	struct registry *registry;
	unsigned int borrowed;
	struct held *next; /* older */
};

struct registry_keeper {
	char *url, *cache_path; /* NULL: none */
	uint32_t refresh_s;
	int force;
	int stop; /* atomic: also looked at while a fetch runs */
	pthread_t thread;
	int has_thread;
	pthread_mutex_t fetching; /* one fetch at a time; taken before lock */
	struct fetch_stamps stamps;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct held *held; /* the first is the one in force */
	uint64_t generation;
	struct registry_keeper_status status;
};

/* --- swapping; all with the lock held ------------------------------------------------------------ */

static void free_unused(struct registry_keeper *k)
{
	struct held **at = &k->held->next;

	while (*at) {
		struct held *h = *at;

		if (h->borrowed) {
			at = &h->next;
			continue;
		}
		*at = h->next;
		registry_free(h->registry);
		free(h);
	}
}

/* r comes into force and is owned by k; -ENOMEM leaves it to the caller. */
static int install(struct registry_keeper *k, struct registry *r, const char *origin)
{
	struct held *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->registry = r;
	h->next = k->held;
	k->held = h;
	free_unused(k);
	snprintf(k->status.origin, sizeof(k->status.origin), "%s", origin);
	snprintf(k->status.modified, sizeof(k->status.modified), "%s", r->modified);
	k->status.n_experiments = r->n_experiments;
	k->status.n_pairs = r->n_pairs;
	k->status.loaded_utc_s = clock_utc_us() / US_PER_S;
	__atomic_add_fetch(&k->generation, 1, __ATOMIC_RELEASE);
	return 0;
}

/* --- what is said -------------------------------------------------------------------------------- */

static void say_what_is_odd(const struct registry *r)
{
	if (r->dialects_overlap)
		log_msg(LOG_LEVEL_WARN, "registry",
			"an option of the plain form may now be one of the label form: tags of old "
			"senders can be mistaken");
	for (size_t i = 0; i < r->n_experiments; i++) {
		const struct registry_experiment *e = &r->experiments[i];

		if (e->id > SCITAG_LABEL_EXPERIMENT_MAX)
			log_msg(LOG_LEVEL_WARN, "registry",
				"experiment %u %s does not fit a flow label (0..511)", e->id,
				e->name);
		for (size_t j = 0; j < e->n_activities; j++)
			if (e->activities[j].id > SCITAG_ACTIVITY_MAX)
				log_msg(LOG_LEVEL_WARN, "registry",
					"activity %u/%u %s %s does not fit a flow label (0..63)",
					e->id, e->activities[j].id, e->name, e->activities[j].name);
	}
}

struct differences {
	size_t n;
	int quiet;
};

static void say_difference(void *arg, const char *line)
{
	struct differences *d = arg;

	if (d->n++ < DIFF_LINES_MAX && !d->quiet)
		log_msg(LOG_LEVEL_INFO, "registry", "%s", line);
}

/* --- the cache ----------------------------------------------------------------------------------- */

static int write_all(int fd, const char *bytes, size_t len_bytes)
{
	while (len_bytes) {
		ssize_t n = write(fd, bytes, len_bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		len_bytes -= (size_t)n;
	}
	return 0;
}

/* The directory right above path, so that a first start just works; if it cannot be made, opening the
 * file says so. */
static void make_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char parent[4096];

	if (slash && slash != path && slash - path < (int)sizeof(parent)) {
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
		mkdir(parent, 0755);
	}
}

/* All of it or nothing: a new file takes the old one's name. A cache that cannot be written is said
 * and no more. */
static void write_cache(const struct registry_keeper *k, const char *bytes, size_t len_bytes)
{
	char path[4096];
	int fd, err;

	if (!k->cache_path ||
	    snprintf(path, sizeof(path), "%s.XXXXXX", k->cache_path) >= (int)sizeof(path))
		return;
	make_parent(k->cache_path);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0) {
		log_fail(-errno, "registry", "write cache %s", k->cache_path);
		return;
	}
	err = write_all(fd, bytes, len_bytes);
	if (!err && (fchmod(fd, 0644) || fsync(fd)))
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(path, k->cache_path))
		err = -errno;
	if (err) {
		log_fail(err, "registry", "write cache %s", k->cache_path);
		unlink(path);
	}
}

/* -1, 0, 1 as `a` was modified before, with, or after `b`; -1 also when either does not say. */
static int compare_modified(const struct registry *a, const struct registry *b)
{
	int64_t a_us, b_us;

	if (clock_parse_utc(&a_us, a->modified, strlen(a->modified)) ||
	    clock_parse_utc(&b_us, b->modified, strlen(b->modified)))
		return -1;
	return (a_us > b_us) - (a_us < b_us);
}

/* A cache was let in once, by the rules or by the operator's force, so a newer one may be smaller;
 * any other must be no less than the built-in. */
static const char *refuse_cache(const struct registry *builtin, const struct registry *cached)
{
	if (!cached->n_pairs)
		return "it is empty";
	if (compare_modified(cached, builtin) > 0)
		return NULL;
	if (compare_modified(cached, builtin) < 0 && *cached->modified)
		return "the built-in registry is newer";
	return registry_refuse_swap(builtin, cached);
}

static void load_cache(struct registry_keeper *k)
{
	struct registry *cached = NULL;
	const char *refusal = NULL;
	char why[128];
	int err;

	if (!k->cache_path)
		return;
	err = registry_load(&cached, k->cache_path, why, sizeof(why));
	if (err == -ENOENT)
		return;
	if (!err)
		refusal = refuse_cache(k->held->registry, cached);
	if (!err && !refusal && !install(k, cached, "cache"))
		return;
	log_msg(LOG_LEVEL_WARN, "registry", "the cache %s is not used: %s", k->cache_path,
		err ? why : refusal ?: "out of memory");
	snprintf(k->status.last_error, sizeof(k->status.last_error), "cache: %.140s",
		 err ? why : refusal ?: "out of memory");
	k->status.refused += err == -EBADMSG || refusal;
	registry_free(cached);
}

/* --- the network --------------------------------------------------------------------------------- */

static int fail_refresh(struct registry_keeper *k, int err, const char *why)
{
	log_msg(LOG_LEVEL_WARN, "registry", "%s: %s", k->url, why);
	pthread_mutex_lock(&k->lock);
	snprintf(k->status.last_error, sizeof(k->status.last_error), "%s", why);
	k->status.refused += err == -EBADMSG;
	pthread_mutex_unlock(&k->lock);
	return err;
}

static void note_checked(struct registry_keeper *k)
{
	pthread_mutex_lock(&k->lock);
	k->status.checked_utc_s = clock_utc_us() / US_PER_S;
	k->status.last_error[0] = 0;
	pthread_mutex_unlock(&k->lock);
}

/* A sound answer: swap if it says something else. Takes over `next`. */
static int let_in(struct registry_keeper *k, struct registry *next, const char *body,
		  size_t len_bytes)
{
	const struct registry *now = registry_keeper_take(k);
	const char *refusal = k->force ? NULL : registry_refuse_swap(now, next);
	struct differences differences = {.quiet = 1};
	int err = 0, is_same;

	if (!next->n_pairs)
		refusal = "the new document is empty";
	registry_diff(now, next, say_difference, &differences);
	is_same = !differences.n && !strcmp(now->modified, next->modified);
	if (refusal || is_same) {
		registry_keeper_give(k, now);
		registry_free(next);
		if (refusal) {
			k->stamps = (struct fetch_stamps){0}; /* ask for all of it again */
			return fail_refresh(k, -EBADMSG, refusal);
		}
		note_checked(k);
		write_cache(k, body, len_bytes);
		return 0;
	}
	log_msg(LOG_LEVEL_INFO, "registry", "new document, modified %s: %zu experiments, %zu pairs",
		*next->modified ? next->modified : "(unsaid)", next->n_experiments, next->n_pairs);
	differences = (struct differences){0};
	registry_diff(now, next, say_difference, &differences);
	if (differences.n > DIFF_LINES_MAX)
		log_msg(LOG_LEVEL_INFO, "registry", "... and %zu more differences",
			differences.n - DIFF_LINES_MAX);
	registry_keeper_give(k, now);
	say_what_is_odd(next);
	pthread_mutex_lock(&k->lock);
	err = install(k, next, "network");
	pthread_mutex_unlock(&k->lock);
	if (err) {
		registry_free(next);
		return fail_refresh(k, err, "out of memory");
	}
	note_checked(k);
	write_cache(k, body, len_bytes);
	return 1;
}

static int refresh(struct registry_keeper *k)
{
	struct registry *next = NULL;
	char *body = NULL, why[160];
	size_t len_bytes = 0;
	int result =
		fetch_document(k->url, &k->stamps, &body, &len_bytes, &k->stop, why, sizeof(why));

	if (result < 0)
		return fail_refresh(k, result, why);
	if (result == 1) {
		note_checked(k);
		return 0;
	}
	result = registry_parse(&next, body, len_bytes, why, sizeof(why));
	if (result) {
		k->stamps = (struct fetch_stamps){0};
		result = fail_refresh(k, result, why);
	} else {
		result = let_in(k, next, body, len_bytes);
	}
	free(body);
	return result;
}

int registry_keeper_refresh(struct registry_keeper *k)
{
	int result;

	if (!k->url)
		return -EINVAL;
	pthread_mutex_lock(&k->fetching);
	result = refresh(k);
	pthread_mutex_unlock(&k->fetching);
	return result;
}

/* Ask at once, then every refresh_s; a failure is tried again after the shortest interval. */
static void *run(void *arg)
{
	struct registry_keeper *k = arg;

	while (!__atomic_load_n(&k->stop, __ATOMIC_RELAXED)) {
		int failed = registry_keeper_refresh(k) < 0;
		uint32_t wait_s = failed ? REGISTRY_REFRESH_MIN_S : k->refresh_s;
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += wait_s;
		pthread_mutex_lock(&k->lock);
		while (!__atomic_load_n(&k->stop, __ATOMIC_RELAXED) &&
		       !pthread_cond_timedwait(&k->wake, &k->lock, &until))
			;
		pthread_mutex_unlock(&k->lock);
	}
	return NULL;
}

/* --- from outside -------------------------------------------------------------------------------- */

static int copy_text(char **out, const char *text)
{
	if (!text || !*text)
		return 0;
	*out = strdup(text);
	return *out ? 0 : -ENOMEM;
}

static int start(struct registry_keeper *k)
{
	int err;

	if (!k->url || !k->refresh_s)
		return 0;
	if (k->refresh_s < REGISTRY_REFRESH_MIN_S)
		k->refresh_s = REGISTRY_REFRESH_MIN_S;
	err = -pthread_create(&k->thread, NULL, run, k);
	if (err)
		return log_fail(err, "registry", "start the thread that refreshes");
	k->has_thread = 1;
	return 0;
}

int registry_keeper_open(struct registry_keeper **out, const struct registry_keeper_config *cfg)
{
	struct registry_keeper *k = calloc(1, sizeof(*k));
	struct registry *builtin = registry_builtin();
	pthread_condattr_t monotonic;
	int err;

	if (!k || !builtin) {
		free(k);
		registry_free(builtin);
		return log_fail(-ENOMEM, "registry", "open");
	}
	pthread_mutex_init(&k->fetching, NULL);
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&k->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	k->refresh_s = cfg->refresh_s;
	k->force = cfg->force;
	k->status.checked_utc_s = CLOCK_NEVER;
	err = copy_text(&k->url, cfg->url);
	if (!err)
		err = copy_text(&k->cache_path, cfg->cache_path);
	if (!err)
		err = install(k, builtin, "built-in");
	if (err) {
		registry_free(builtin);
		goto fail;
	}
	if (k->url && !strncasecmp(k->url, "http://", 7))
		log_msg(LOG_LEVEL_WARN, "registry",
			"%s: without https nobody vouches for the answer", k->url);
	load_cache(k);
	say_what_is_odd(k->held->registry);
	err = start(k);
	if (err)
		goto fail;
	*out = k;
	return 0;
fail:
	registry_keeper_close(k);
	return err;
}

void registry_keeper_close(struct registry_keeper *k)
{
	if (!k)
		return;
	pthread_mutex_lock(&k->lock);
	__atomic_store_n(&k->stop, 1, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&k->wake);
	pthread_mutex_unlock(&k->lock);
	if (k->has_thread)
		pthread_join(k->thread, NULL);
	while (k->held) {
		struct held *next = k->held->next;

		registry_free(k->held->registry);
		free(k->held);
		k->held = next;
	}
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	pthread_mutex_destroy(&k->fetching);
	free(k->url);
	free(k->cache_path);
	free(k);
}

const struct registry *registry_keeper_take(struct registry_keeper *k)
{
	const struct registry *r;

	pthread_mutex_lock(&k->lock);
	k->held->borrowed++;
	r = k->held->registry;
	pthread_mutex_unlock(&k->lock);
	return r;
}

void registry_keeper_give(struct registry_keeper *k, const struct registry *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&k->lock);
	for (struct held *h = k->held; h; h = h->next)
		if (h->registry == r) {
			h->borrowed--;
			break;
		}
	free_unused(k);
	pthread_mutex_unlock(&k->lock);
}

uint64_t registry_keeper_generation(const struct registry_keeper *k)
{
	return __atomic_load_n(&k->generation, __ATOMIC_ACQUIRE);
}

void registry_keeper_status(struct registry_keeper *k, struct registry_keeper_status *out)
{
	pthread_mutex_lock(&k->lock);
	*out = k->status;
	pthread_mutex_unlock(&k->lock);
}

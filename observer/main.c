/* scitag-observer: open in order, drop rights, one turn a second, close in reverse. */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "observer/collector.h"
#include "observer/config.h"
#include "observer/joiner.h"
#include "registry/keeper.h"
#include "store/store.h"
#include "web/web.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CONFIGURATION = 3, EXIT_PERMISSION = 4 };

struct observer {
	struct observer_config cfg;
	int argc;
	char **argv;
	struct registry_keeper *registry;
	struct store *store;
	struct web *web;
	struct joiner *joiner;
	struct collector *collector;
	int timer_fd, signal_fd;
	int64_t second_utc_s; /* the second that is being gathered */
};

static int exit_code(int err)
{
	switch (err) {
	case 0:
		return EXIT_SUCCESS;
	case -EPERM:
	case -EACCES:
	case -ENODEV:
	case -ENETDOWN:
	case -EADDRINUSE:
	case -EBUSY:
	case -EADDRNOTAVAIL:
		return EXIT_PERMISSION;
	default:
		return EXIT_FAILED;
	}
}

/* Whole seconds of the wall clock; cancelled, and armed anew, when somebody sets that clock. */
static int arm_timer(int timer_fd)
{
	struct itimerspec each_second = {.it_interval.tv_sec = 1,
					 .it_value.tv_sec = clock_utc_us() / US_PER_S + 1};

	return timerfd_settime(timer_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &each_second,
			       NULL);
}

static int open_clockwork(struct observer *o)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL); /* before any thread starts */
	signal(SIGPIPE, SIG_IGN);
	o->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	o->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
	if (o->signal_fd < 0 || o->timer_fd < 0 || arm_timer(o->timer_fd))
		return log_fail(-errno, "observer", "timer and signals");
	return 0;
}

static int drop_rights(const char *user)
{
	struct passwd *pw;

	if (!user || getuid() != 0)
		return 0;
	pw = getpwnam(user);
	if (!pw) {
		log_msg(LOG_LEVEL_ERROR, "observer", "no user named %s", user);
		return -EPERM;
	}
	if (setgroups(0, NULL) || setgid(pw->pw_gid) || setuid(pw->pw_uid))
		return log_fail(-errno, "observer", "become user %s", user);
	return 0;
}

/* The directory of a database that is to be made, so that a first start just works. */
static void make_database_directory(const char *url)
{
	char path[512];
	char *slash;

	if (strncmp(url, "sqlite:/", 8))
		return;
	snprintf(path, sizeof(path), "%s", url + 7);
	slash = strrchr(path, '/');
	if (slash == path)
		return;
	*slash = 0;
	if (mkdir(path, 0750) && errno != EEXIST)
		log_fail(-errno, "observer", "make directory %s", path);
}

static int open_store(struct observer *o)
{
	struct store_config sc;

	make_database_directory(o->cfg.database_url);
	store_config_default(&sc);
	sc.url = o->cfg.database_url;
	sc.max_size_bytes = o->cfg.database_max_size_bytes;
	sc.keep_10s_s = (uint32_t)o->cfg.keep_10s_s;
	sc.keep_1m_s = (uint32_t)o->cfg.keep_1m_s;
	sc.keep_10m_s = (uint32_t)o->cfg.keep_10m_s;
	sc.keep_1h_s = (uint32_t)o->cfg.keep_1h_s;
	sc.keep_health_s = (uint32_t)o->cfg.keep_health_s;
	return store_open(&o->store, &sc);
}

static int open_all(struct observer *o)
{
	struct registry_keeper_config rc = {.url = o->cfg.registry_url,
					    .cache_path = o->cfg.registry_cache,
					    .refresh_s = (uint32_t)o->cfg.registry_refresh_s};
	struct web_config wc = {.listen = o->cfg.http_listen,
				.hosts = (const char *const *)o->cfg.http_hosts.items,
				.version = SCITAG_VERSION};
	int err = open_clockwork(o);

	if (!err)
		err = registry_keeper_open(&o->registry, &rc);
	if (!err)
		err = open_store(o);
	if (!err)
		err = joiner_open(&o->joiner, &o->cfg, o->store, o->registry);
	if (!err)
		err = collector_open(&o->collector, &o->cfg, o->store, o->registry,
				     joiner_join(o->joiner));
	if (!err)
		err = web_open(&o->web, &wc, o->store, o->registry, joiner_join(o->joiner));
	if (!err)
		err = drop_rights(o->cfg.user);
	return err;
}

static void hand_over(struct observer *o, struct bucket *b)
{
	if (!b)
		return;
	store_put(o->store, b);
	web_tick(o->web);
}

static void close_all(struct observer *o)
{
	struct bucket *last = collector_close(o->collector, o->second_utc_s);

	if (o->web)
		hand_over(o, last);
	else
		bucket_free(last);
	web_close(o->web);
	joiner_close(o->joiner);
	store_close(o->store);
	registry_keeper_close(o->registry);
	if (o->timer_fd >= 0)
		close(o->timer_fd);
	if (o->signal_fd >= 0)
		close(o->signal_fd);
}

/* Parse, check, swap the inputs; or keep what runs and say why. */
static void reload(struct observer *o)
{
	struct observer_config next;
	struct collector *collector;

	if (observer_config_read(&next, o->argc, o->argv)) {
		log_msg(LOG_LEVEL_ERROR, "observer",
			"reload: the old configuration stays in force");
		observer_config_free(&next);
		return;
	}
	if (strcmp(next.database_url, o->cfg.database_url) ||
	    strcmp(next.http_listen, o->cfg.http_listen))
		log_msg(LOG_LEVEL_WARN, "observer",
			"reload: database.url and http.listen change at a restart only");
	if (next.flows_max != o->cfg.flows_max || next.claims_max != o->cfg.claims_max)
		log_msg(LOG_LEVEL_WARN, "observer",
			"reload: flows.max and claims.max change at a restart only");
	/* the old inputs hold the ports that the new ones want */
	hand_over(o, collector_close(o->collector, o->second_utc_s));
	o->collector = NULL;
	if (collector_open(&collector, &next, o->store, o->registry, joiner_join(o->joiner))) {
		log_msg(LOG_LEVEL_ERROR, "observer", "reload: back to the old inputs");
		observer_config_free(&next);
		if (collector_open(&collector, &o->cfg, o->store, o->registry,
				   joiner_join(o->joiner)))
			collector = NULL; /* said already; the page shows that nothing is read */
	} else {
		observer_config_free(&o->cfg);
		o->cfg = next;
		joiner_reload(o->joiner, &o->cfg);
		log_open((enum log_level)o->cfg.log_level, o->cfg.log_time);
		store_event(o->store, "reload", "configuration read again");
		log_msg(LOG_LEVEL_INFO, "observer", "configuration read again");
	}
	o->collector = collector;
}

static void turn(struct observer *o)
{
	int64_t now_utc_s = clock_utc_us() / US_PER_S;

	joiner_turn(o->joiner);
	if (o->collector)
		hand_over(o, collector_take(o->collector, o->second_utc_s));
	/* a clock set back must not reorder seconds: they ascend, and catch up later */
	o->second_utc_s = now_utc_s > o->second_utc_s ? now_utc_s : o->second_utc_s;
}

static void loop(struct observer *o)
{
	struct pollfd fds[] = {{.fd = o->timer_fd, .events = POLLIN},
			       {.fd = o->signal_fd, .events = POLLIN}};

	o->second_utc_s = clock_utc_us() / US_PER_S;
	for (;;) {
		struct signalfd_siginfo signal_info;
		uint64_t expirations;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		if (fds[0].revents) {
			if (read(o->timer_fd, &expirations, sizeof(expirations)) < 0)
				arm_timer(o->timer_fd);
			turn(o);
			sd_notify(0, "WATCHDOG=1");
		}
		if (!fds[1].revents ||
		    read(o->signal_fd, &signal_info, sizeof(signal_info)) != sizeof(signal_info))
			continue;
		if (signal_info.ssi_signo != SIGHUP)
			return;
		reload(o);
	}
}

static int run(struct observer *o)
{
	int err = open_all(o);

	if (!err) {
		if (!o->cfg.interfaces.n && !o->cfg.sflow_listen.n && !o->cfg.firefly_listen.n)
			log_msg(LOG_LEVEL_WARN, "observer",
				"no input: give -i IFACE, --sflow :6343 or --firefly :10514");
		store_event(o->store, "start", "scitag-observer " SCITAG_VERSION);
		log_msg(LOG_LEVEL_INFO, "observer", "scitag-observer %s at http://%s/",
			SCITAG_VERSION, web_address(o->web));
		sd_notify(0, "READY=1");
		loop(o);
		sd_notify(0, "STOPPING=1");
		store_event(o->store, "stop", "ended as asked");
	}
	close_all(o);
	return exit_code(err);
}

int main(int argc, char **argv)
{
	struct observer o = {.argc = argc, .argv = argv, .timer_fd = -1, .signal_fd = -1};
	int err = observer_config_read(&o.cfg, argc, argv), code = EXIT_SUCCESS;

	if (o.cfg.help) {
		opt_help(&observer_program, stdout);
	} else if (o.cfg.version) {
		printf("scitag-observer %s\n", SCITAG_VERSION);
	} else if (err) {
		code = err == -E2BIG ? EXIT_USAGE : EXIT_CONFIGURATION;
	} else if (o.cfg.check) {
		fprintf(stderr, "configuration is good\n");
	} else if (o.cfg.dump) {
		opt_dump(&observer_program, &o.cfg, stdout);
	} else {
		log_open((enum log_level)o.cfg.log_level, o.cfg.log_time);
		code = run(&o);
	}
	observer_config_free(&o.cfg);
	return code;
}

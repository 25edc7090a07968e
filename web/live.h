/* What the web room remembers of the seconds that went by, so that an older tick can be sent again
 * and losses can be told from losses long ago. Fed by web_tick; any thread. */
#ifndef WEB_LIVE_H
#define WEB_LIVE_H

#include "store/store.h"

#define LIVE_SECONDS       900 /* as the store's ring */
#define LIVE_LOSS_WINDOW_S 60
#define LIVE_LOSS_SHARE    0.001 /* of the window's arrivals; less is not worth a sentence */
#define LIVE_REASONS_MAX   16
#define LIVE_REASON_BYTES  160

enum live_status { LIVE_OK, LIVE_DEGRADED, LIVE_DOWN };
const char *live_status_name(enum live_status s); /* "ok", "degraded", "down" */

struct live_second { /* a second but for its rows */
	int64_t utc_s;
	uint64_t starts, ongoings, ends;
	enum live_status status;
	uint32_t sources, sources_up; /* inputs; agents behind them are not counted */
	uint64_t received, accepted, rejected, dropped, lost; /* since start */
};

struct live_reasons {
	size_t n;
	char text[LIVE_REASONS_MAX][LIVE_REASON_BYTES];
};

struct live; /* opaque */

struct live *live_open(void); /* NULL: no memory */
void live_close(struct live *l);
/* A second came. Returns what is to be told of it. */
struct live_second live_add(struct live *l, const struct bucket *b);
/* 0 and *out, -ENOENT when that second did not come or is too long ago. */
int live_find(struct live *l, int64_t utc_s, struct live_second *out);
/* The status of the inputs in b, with a sentence for everything that is wrong; l and why may be NULL. */
enum live_status live_judge(struct live *l, const struct bucket *b, struct live_reasons *why);

#endif

/* The dashboard's files, embedded when we were built. */
#ifndef WEB_ASSETS_H
#define WEB_ASSETS_H

struct asset_bytes {
	const unsigned char *start, *end;
};
struct asset {
	const char *path; /* "/app.js" */
	const char *type;
	struct asset_bytes plain, gzip;
};

/* The file at a path; every page of the dashboard is the same document. NULL: none. */
const struct asset *asset_find(const char *path);

#endif

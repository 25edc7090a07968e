#include <string.h>

#include "web/assets.h"

/* Files of the build directory's web/, found through the include path. */
#define EMBED(name, file)                       \
	__asm__(".section .rodata\n"            \
		".global asset_" #name "\n"     \
		"asset_" #name ":\n"            \
		".incbin \"web/" file "\"\n"    \
		".global asset_" #name "_end\n" \
		"asset_" #name "_end:\n"        \
		".byte 0\n"                     \
		".previous\n");                 \
	extern const unsigned char asset_##name[], asset_##name##_end[]

EMBED(index_html, "index.html");
EMBED(index_html_gz, "index.html.gz");
EMBED(app_js, "app.js");
EMBED(app_js_gz, "app.js.gz");
EMBED(app_css, "app.css");
EMBED(app_css_gz, "app.css.gz");
EMBED(favicon_svg, "favicon.svg");
EMBED(favicon_svg_gz, "favicon.svg.gz");
EMBED(map_json, "map.json");
EMBED(map_json_gz, "map.json.gz");
EMBED(notices_txt, "notices.txt");
EMBED(notices_txt_gz, "notices.txt.gz");

#define BYTES(name)                              \
	{                                        \
		asset_##name, asset_##name##_end \
	}
#define INDEX(path)                                                                       \
	{                                                                                 \
		path, "text/html; charset=utf-8", BYTES(index_html), BYTES(index_html_gz) \
	}

static const struct asset assets[] = {
	{"/app.js", "text/javascript; charset=utf-8", BYTES(app_js), BYTES(app_js_gz)},
	{"/app.css", "text/css; charset=utf-8", BYTES(app_css), BYTES(app_css_gz)},
	{"/favicon.svg", "image/svg+xml", BYTES(favicon_svg), BYTES(favicon_svg_gz)},
	{"/map.json", "application/json", BYTES(map_json), BYTES(map_json_gz)},
	{"/notices.txt", "text/plain; charset=utf-8", BYTES(notices_txt), BYTES(notices_txt_gz)},
	INDEX("/"),
	INDEX("/history"),
	INDEX("/flows"),
	INDEX("/sites"),
	INDEX("/agreement"),
	INDEX("/packets"),
	INDEX("/health"),
	INDEX("/decode"),
	INDEX("/help"),
};

const struct asset *asset_find(const char *path)
{
	for (size_t i = 0; i < sizeof(assets) / sizeof(assets[0]); i++)
		if (!strcmp(assets[i].path, path))
			return &assets[i];
	return NULL;
}

/* Between opt.c, opt_yaml.c and opt_show.c; nobody else includes this. */
#ifndef BASE_OPT_VALUE_H
#define BASE_OPT_VALUE_H

#include "base/opt.h"

#define OPT_WHY_BYTES  512
#define OPT_PATH_BYTES 256 /* of a dotted key */

static inline void *opt_at(const struct opt *o, void *config)
{
	return (char *)config + o->offset;
}

static inline const void *opt_at_const(const struct opt *o, const void *config)
{
	return (const char *)config + o->offset;
}

/* Set a scalar, or append one to OPT_TEXTS. -EINVAL with "expected ..., got ..." in why, the value
 * untouched. */
int opt_set(const struct opt *o, void *config, const char *text, char *why, size_t why_cap_bytes);
/* Empty and free what the option holds. */
void opt_clear(const struct opt *o, void *config);
/* Append to OPT_MAP: 0 or -ENOMEM. */
int opt_add_pair(const struct opt *o, void *config, const char *key, const char *value);
/* Append an item with its defaults to OPT_ITEMS: the item, or NULL. */
void *opt_add_item(const struct opt *o, void *config);
int opt_apply_defaults(const struct opt *opts, void *config);
/* "an integer within 0..65535": what a value must be. */
char *opt_expected(const struct opt *o, char *buf, size_t cap_bytes);
/* A value of a list or map from YAML text, for default_text. 0 or -EINVAL. */
int opt_read_value(const struct opt *o, void *config, const char *yaml);
/* "512MiB", "14d": exact. */
char *opt_size_text(char *buf, size_t cap_bytes, uint64_t bytes);
char *opt_duration_text(char *buf, size_t cap_bytes, uint64_t seconds);

#endif

/* Names of the enumerated dimensions, each list written once. */
#include <errno.h>
#include <strings.h>
#include "store/filter.h"

static const char *const dims[DIM_COUNT] = {
	[DIM_EXPERIMENT] = "experiment", [DIM_ACTIVITY] = "activity",
	[DIM_GRADE] = "grade",           [DIM_CARRIER] = "carrier",
	[DIM_FAMILY] = "family",         [DIM_DIRECTION] = "direction",
	[DIM_SOURCE] = "source",         [DIM_SRC_SITE] = "src_site",
	[DIM_DST_SITE] = "dst_site",     [DIM_APPLICATION] = "application",
};
static const char *const grades[GRADE_COUNT] = {
	[GRADE_UNTAGGED] = "untagged",     [GRADE_UNREGISTERED] = "unregistered",
	[GRADE_REGISTERED] = "registered", [GRADE_CONFIRMED] = "confirmed",
	[GRADE_DISAGREE] = "disagree",     [GRADE_CLAIMED] = "claimed",
};
static const char *const carriers[CARRIER_COUNT] = {
	[CARRIER_NONE] = "none",
	[CARRIER_LABEL] = "label",
	[CARRIER_DESTINATION] = "destination",
	[CARRIER_HOP_BY_HOP] = "hop-by-hop",
	[CARRIER_HOP_BY_HOP_DESTINATION] = "hop-by-hop+destination",
};
static const char *const directions[DIRECTION_COUNT] = {
	[DIRECTION_UNKNOWN] = "unknown",   [DIRECTION_IN] = "in",           [DIRECTION_OUT] = "out",
	[DIRECTION_INTERNAL] = "internal", [DIRECTION_TRANSIT] = "transit",
};

static const char *name_of(const char *const *names, unsigned int count, unsigned int value)
{
	return value < count ? names[value] : NULL;
}

static int find(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcasecmp(names[i], name) == 0)
			return i;
	return -ENOENT;
}

const char *dim_name(enum dim d)
{
	return name_of(dims, DIM_COUNT, d);
}

int dim_find(const char *name)
{
	return find(dims, DIM_COUNT, name);
}

const char *grade_name(unsigned int grade)
{
	return name_of(grades, GRADE_COUNT, grade);
}

int grade_find(const char *name)
{
	return find(grades, GRADE_COUNT, name);
}

const char *carrier_name(unsigned int carrier)
{
	return name_of(carriers, CARRIER_COUNT, carrier);
}

int carrier_find(const char *name)
{
	return find(carriers, CARRIER_COUNT, name);
}

const char *direction_name(unsigned int direction)
{
	return name_of(directions, DIRECTION_COUNT, direction);
}

int direction_find(const char *name)
{
	return find(directions, DIRECTION_COUNT, name);
}

-- The database of scitag-observer, version 1. docs/schema.md explains it.

CREATE TABLE meta (
	key TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each level of traffic_* (and of the tables that share its width) is rolled up, and from
-- when on it is still kept.
CREATE TABLE levels (
	name TEXT PRIMARY KEY,
	width_s INTEGER NOT NULL,
	closed_utc_s INTEGER NOT NULL,
	kept_from_utc_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sources (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	kind INTEGER NOT NULL,
	first_seen_utc_s INTEGER,
	last_seen_utc_s INTEGER
) STRICT;
INSERT INTO sources (id, name, kind) VALUES (0, 'other', 0);

CREATE TABLE traffic_10s (
	bucket INTEGER NOT NULL,
	source INTEGER NOT NULL,
	direction INTEGER NOT NULL,
	family INTEGER NOT NULL,
	carrier INTEGER NOT NULL,
	grade INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	packets INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	ip_bytes INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	bytes_variance REAL NOT NULL,
	codes INTEGER NOT NULL,
	PRIMARY KEY (bucket, source, direction, family, carrier, grade, experiment, activity)
) STRICT, WITHOUT ROWID;
CREATE TABLE traffic_1m (
	bucket INTEGER NOT NULL,
	source INTEGER NOT NULL,
	direction INTEGER NOT NULL,
	family INTEGER NOT NULL,
	carrier INTEGER NOT NULL,
	grade INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	packets INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	ip_bytes INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	bytes_variance REAL NOT NULL,
	codes INTEGER NOT NULL,
	PRIMARY KEY (bucket, source, direction, family, carrier, grade, experiment, activity)
) STRICT, WITHOUT ROWID;
CREATE TABLE traffic_10m (
	bucket INTEGER NOT NULL,
	source INTEGER NOT NULL,
	direction INTEGER NOT NULL,
	family INTEGER NOT NULL,
	carrier INTEGER NOT NULL,
	grade INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	packets INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	ip_bytes INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	bytes_variance REAL NOT NULL,
	codes INTEGER NOT NULL,
	PRIMARY KEY (bucket, source, direction, family, carrier, grade, experiment, activity)
) STRICT, WITHOUT ROWID;
CREATE TABLE traffic_1h (
	bucket INTEGER NOT NULL,
	source INTEGER NOT NULL,
	direction INTEGER NOT NULL,
	family INTEGER NOT NULL,
	carrier INTEGER NOT NULL,
	grade INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	packets INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	ip_bytes INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	bytes_variance REAL NOT NULL,
	codes INTEGER NOT NULL,
	PRIMARY KEY (bucket, source, direction, family, carrier, grade, experiment, activity)
) STRICT, WITHOUT ROWID;
CREATE TABLE traffic_1d (
	bucket INTEGER NOT NULL,
	source INTEGER NOT NULL,
	direction INTEGER NOT NULL,
	family INTEGER NOT NULL,
	carrier INTEGER NOT NULL,
	grade INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	packets INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	ip_bytes INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	bytes_variance REAL NOT NULL,
	codes INTEGER NOT NULL,
	PRIMARY KEY (bucket, source, direction, family, carrier, grade, experiment, activity)
) STRICT, WITHOUT ROWID;

CREATE TABLE claims_1m (
	bucket INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	application TEXT NOT NULL,
	family INTEGER NOT NULL,
	starts INTEGER NOT NULL,
	ongoings INTEGER NOT NULL,
	ends INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	PRIMARY KEY (bucket, experiment, activity, application, family)
) STRICT, WITHOUT ROWID;
CREATE TABLE claims_1h (
	bucket INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	application TEXT NOT NULL,
	family INTEGER NOT NULL,
	starts INTEGER NOT NULL,
	ongoings INTEGER NOT NULL,
	ends INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	PRIMARY KEY (bucket, experiment, activity, application, family)
) STRICT, WITHOUT ROWID;
CREATE TABLE claims_1d (
	bucket INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	application TEXT NOT NULL,
	family INTEGER NOT NULL,
	starts INTEGER NOT NULL,
	ongoings INTEGER NOT NULL,
	ends INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	PRIMARY KEY (bucket, experiment, activity, application, family)
) STRICT, WITHOUT ROWID;

CREATE TABLE source_health_1m (
	bucket INTEGER NOT NULL,
	source INTEGER NOT NULL,
	up_s INTEGER NOT NULL,
	received INTEGER NOT NULL,
	accepted INTEGER NOT NULL,
	rejected INTEGER NOT NULL,
	dropped INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	lost INTEGER NOT NULL,
	agent_drops INTEGER NOT NULL,
	sampling_rate INTEGER NOT NULL,
	effective_rate REAL NOT NULL,
	PRIMARY KEY (bucket, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE source_reasons_1m (
	bucket INTEGER NOT NULL,
	source INTEGER NOT NULL,
	outcome TEXT NOT NULL CHECK (outcome IN ('rejected', 'dropped')),
	reason TEXT NOT NULL,
	count INTEGER NOT NULL,
	PRIMARY KEY (bucket, source, outcome, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
	from_utc_s INTEGER PRIMARY KEY,
	to_utc_s INTEGER NOT NULL,
	reason TEXT NOT NULL
) STRICT;

CREATE TABLE events (
	id INTEGER PRIMARY KEY,
	utc_s INTEGER NOT NULL,
	kind TEXT NOT NULL,
	text TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (utc_s);

-- The database of scitag-observer, version 1. docs/schema.md explains it. Run at every start: what an
-- older database of this version does not have is added.

CREATE TABLE IF NOT EXISTS meta (
	key TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each level of traffic_* (and of the tables that share its width) is rolled up, and from
-- when on it is still kept.
CREATE TABLE IF NOT EXISTS levels (
	name TEXT PRIMARY KEY,
	width_s INTEGER NOT NULL,
	closed_utc_s INTEGER NOT NULL,
	kept_from_utc_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- From when on the tables beside traffic_* are kept.
CREATE TABLE IF NOT EXISTS kept (
	name TEXT PRIMARY KEY,
	from_utc_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS sources (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	kind INTEGER NOT NULL,
	first_seen_utc_s INTEGER,
	last_seen_utc_s INTEGER
) STRICT;
INSERT OR IGNORE INTO sources (id, name, kind) VALUES (0, 'other', 0);

CREATE TABLE IF NOT EXISTS traffic_10s (
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
CREATE TABLE IF NOT EXISTS traffic_1m (
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
CREATE TABLE IF NOT EXISTS traffic_10m (
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
CREATE TABLE IF NOT EXISTS traffic_1h (
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
CREATE TABLE IF NOT EXISTS traffic_1d (
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

CREATE TABLE IF NOT EXISTS claims_1m (
	bucket INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	application TEXT NOT NULL,
	family INTEGER NOT NULL,
	starts INTEGER NOT NULL,
	ongoings INTEGER NOT NULL,
	ends INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	end_bytes INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (bucket, experiment, activity, application, family)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims_1h (
	bucket INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	application TEXT NOT NULL,
	family INTEGER NOT NULL,
	starts INTEGER NOT NULL,
	ongoings INTEGER NOT NULL,
	ends INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	end_bytes INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (bucket, experiment, activity, application, family)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims_1d (
	bucket INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	application TEXT NOT NULL,
	family INTEGER NOT NULL,
	starts INTEGER NOT NULL,
	ongoings INTEGER NOT NULL,
	ends INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	end_bytes INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (bucket, experiment, activity, application, family)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS pairs_1m (
	bucket INTEGER NOT NULL,
	src_site INTEGER NOT NULL,
	dst_site INTEGER NOT NULL,
	family INTEGER NOT NULL,
	grade INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	packets INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	ip_bytes INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	bytes_variance REAL NOT NULL,
	PRIMARY KEY (bucket, src_site, dst_site, family, grade, experiment, activity)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pairs_1h (
	bucket INTEGER NOT NULL,
	src_site INTEGER NOT NULL,
	dst_site INTEGER NOT NULL,
	family INTEGER NOT NULL,
	grade INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	packets INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	ip_bytes INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	bytes_variance REAL NOT NULL,
	PRIMARY KEY (bucket, src_site, dst_site, family, grade, experiment, activity)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pairs_1d (
	bucket INTEGER NOT NULL,
	src_site INTEGER NOT NULL,
	dst_site INTEGER NOT NULL,
	family INTEGER NOT NULL,
	grade INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	packets INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	ip_bytes INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	bytes_variance REAL NOT NULL,
	PRIMARY KEY (bucket, src_site, dst_site, family, grade, experiment, activity)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS histograms_1m (
	bucket INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	bin INTEGER NOT NULL,
	n INTEGER NOT NULL,
	max INTEGER NOT NULL,
	PRIMARY KEY (bucket, kind, experiment, activity, bin)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS histograms_1h (
	bucket INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	bin INTEGER NOT NULL,
	n INTEGER NOT NULL,
	max INTEGER NOT NULL,
	PRIMARY KEY (bucket, kind, experiment, activity, bin)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS histograms_1d (
	bucket INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	bin INTEGER NOT NULL,
	n INTEGER NOT NULL,
	max INTEGER NOT NULL,
	PRIMARY KEY (bucket, kind, experiment, activity, bin)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS label_flows_1m (
	bucket INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	begun INTEGER NOT NULL,
	before INTEGER NOT NULL,
	PRIMARY KEY (bucket, experiment, activity)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS label_flows_1h (
	bucket INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	begun INTEGER NOT NULL,
	before INTEGER NOT NULL,
	PRIMARY KEY (bucket, experiment, activity)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS label_flows_1d (
	bucket INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	begun INTEGER NOT NULL,
	before INTEGER NOT NULL,
	PRIMARY KEY (bucket, experiment, activity)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS sites (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE IF NOT EXISTS applications (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE IF NOT EXISTS flows (
	id INTEGER PRIMARY KEY,
	ended_utc_s INTEGER NOT NULL,
	src TEXT NOT NULL,
	dst TEXT NOT NULL,
	src_port INTEGER NOT NULL,
	dst_port INTEGER NOT NULL,
	protocol INTEGER NOT NULL,
	family INTEGER NOT NULL,
	source INTEGER NOT NULL,
	direction INTEGER NOT NULL,
	src_site INTEGER NOT NULL,
	dst_site INTEGER NOT NULL,
	grade INTEGER NOT NULL,
	carrier INTEGER NOT NULL,
	experiment INTEGER NOT NULL,
	activity INTEGER NOT NULL,
	state INTEGER NOT NULL,
	evidence INTEGER NOT NULL,
	first_utc_us INTEGER,
	last_utc_us INTEGER,
	packets INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	bytes_variance REAL NOT NULL,
	back_packets INTEGER NOT NULL,
	back_bytes INTEGER NOT NULL,
	back_bytes_variance REAL NOT NULL,
	samples INTEGER NOT NULL,
	wire_carrier INTEGER NOT NULL,
	wire_experiment INTEGER NOT NULL,
	wire_activity INTEGER NOT NULL,
	back_carrier INTEGER NOT NULL,
	back_experiment INTEGER NOT NULL,
	back_activity INTEGER NOT NULL,
	claim_experiment INTEGER,
	claim_activity INTEGER,
	start_utc_us INTEGER,
	end_utc_us INTEGER,
	claimed_bytes INTEGER,
	claimed_back_bytes INTEGER,
	rtt_us INTEGER,
	oddities INTEGER NOT NULL,
	producer INTEGER NOT NULL,
	provenance INTEGER NOT NULL,
	sender TEXT,
	application INTEGER NOT NULL,
	claim_turned INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS flows_by_end ON flows (ended_utc_s);
CREATE INDEX IF NOT EXISTS flows_by_tag ON flows (experiment, activity, ended_utc_s);

CREATE TABLE IF NOT EXISTS source_health_1m (
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

CREATE TABLE IF NOT EXISTS source_reasons_1m (
	bucket INTEGER NOT NULL,
	source INTEGER NOT NULL,
	outcome TEXT NOT NULL CHECK (outcome IN ('rejected', 'dropped')),
	reason TEXT NOT NULL,
	count INTEGER NOT NULL,
	PRIMARY KEY (bucket, source, outcome, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS gaps (
	from_utc_s INTEGER PRIMARY KEY,
	to_utc_s INTEGER NOT NULL,
	reason TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS events (
	id INTEGER PRIMARY KEY,
	utc_s INTEGER NOT NULL,
	kind TEXT NOT NULL,
	text TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS events_by_time ON events (utc_s);

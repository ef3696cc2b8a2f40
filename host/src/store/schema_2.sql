-- What is remembered of a channel beyond its deliveries. `version` grows with each change, so that an older one that comes
-- later changes nothing.
CREATE TABLE channels (
  name            TEXT PRIMARY KEY,
  version         INTEGER NOT NULL,
  disabled_at     INTEGER,
  disabled_reason TEXT,
  paused_until    INTEGER NOT NULL DEFAULT 0,
  health          TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO channels (name, version, disabled_at, disabled_reason, health)
  SELECT name, 1, at, reason, '{"failing_since":null,"tripped":null,"told":true}' FROM disabled_channels;
DROP TABLE disabled_channels;

-- Numbers of rows are never used twice (AUTOINCREMENT): an attempt that ends after its delivery was pruned, or bulk work that
-- looks at what there was when it began, must not meet another one. SQLite has no other way to that than a new table.
CREATE TABLE events_2 (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  id          TEXT NOT NULL,
  source      TEXT NOT NULL,
  type        TEXT NOT NULL,
  title       TEXT NOT NULL,
  body        TEXT NOT NULL,
  url         TEXT,
  project     TEXT,
  subject     TEXT,
  occurred_at INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  data        TEXT NOT NULL,
  payload     BLOB NOT NULL,
  deliveries  INTEGER NOT NULL,
  UNIQUE (id, source)
);
INSERT INTO events_2 SELECT * FROM events;
DROP TABLE events;
ALTER TABLE events_2 RENAME TO events;

-- since: when the schedule began, where that is not `created_at`: a person had it retried.
-- sequence: the subject, where its channel is ordered. Of the pending ones of a sequence one has a due_at, the others have
-- 9223372036854775807 and wait for it.
CREATE TABLE deliveries_2 (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  id         BLOB NOT NULL UNIQUE,
  event      INTEGER NOT NULL REFERENCES events (seq),
  channel    TEXT NOT NULL,
  state      INTEGER NOT NULL DEFAULT 0,
  reason     TEXT,
  attempts   INTEGER NOT NULL DEFAULT 0,
  step       INTEGER NOT NULL DEFAULT 0,
  due_at     INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  since      INTEGER,
  sequence   TEXT
);
INSERT INTO deliveries_2 SELECT *, NULL, NULL FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE deliveries_2 RENAME TO deliveries;
CREATE INDEX deliveries_due ON deliveries (channel, due_at, seq) WHERE state = 0;
CREATE INDEX deliveries_event ON deliveries (event);
CREATE INDEX deliveries_channel ON deliveries (channel, seq);
CREATE INDEX deliveries_sequence ON deliveries (channel, sequence, seq) WHERE state = 0 AND sequence IS NOT NULL;
CREATE INDEX deliveries_failed ON deliveries (seq) WHERE state = 2;
-- What retention takes first.
CREATE INDEX deliveries_ended ON deliveries (updated_at) WHERE state <> 0;
CREATE INDEX events_undelivered ON events (received_at) WHERE deliveries = 0;

-- An attempt between two of its requests: the next one with its state, and what came of those before, as JSON.
CREATE TABLE hops (
  delivery INTEGER PRIMARY KEY REFERENCES deliveries (seq),
  record   TEXT NOT NULL
);

ALTER TABLE threads ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
UPDATE threads SET at = CAST(strftime('%s', 'now') AS INTEGER) * 1000;
CREATE INDEX threads_at ON threads (at);

-- How many deliveries a channel has in a state: kept, as counting a million rows takes a second.
CREATE TABLE counts (
  channel TEXT NOT NULL,
  state   INTEGER NOT NULL,
  count   INTEGER NOT NULL,
  PRIMARY KEY (channel, state)
) WITHOUT ROWID;
INSERT INTO counts SELECT channel, state, count(*) FROM deliveries GROUP BY channel, state;

-- Bulk work: `at` goes from the first seq to `upto`, and with each step it is committed together with what was done.
CREATE TABLE jobs (
  id         BLOB PRIMARY KEY,
  action     TEXT NOT NULL,
  selection  TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  ended_at   INTEGER,
  stopped    TEXT,
  first      INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  upto       INTEGER NOT NULL,
  changed    INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- Written to and emptied to find out whether the disk takes something.
CREATE TABLE probe (bytes BLOB NOT NULL);

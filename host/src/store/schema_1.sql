-- Events as they were accepted. `id` is the application's own where it gave one, unique within `source`.
CREATE TABLE events (
  seq         INTEGER PRIMARY KEY,
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

-- state: 0 pending, 1 delivered, 2 failed, 3 cancelled.
CREATE TABLE deliveries (
  seq        INTEGER PRIMARY KEY,
  id         BLOB NOT NULL UNIQUE,
  event      INTEGER NOT NULL REFERENCES events (seq),
  channel    TEXT NOT NULL,
  state      INTEGER NOT NULL DEFAULT 0,
  reason     TEXT,
  attempts   INTEGER NOT NULL DEFAULT 0,
  step       INTEGER NOT NULL DEFAULT 0,
  due_at     INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);
-- What a channel has to do, in order: only the pending ones are in it.
CREATE INDEX deliveries_due ON deliveries (channel, due_at, seq) WHERE state = 0;
CREATE INDEX deliveries_event ON deliveries (event);
CREATE INDEX deliveries_channel ON deliveries (channel, seq);

-- One row an attempt; `record` is the whole account as JSON, secrets redacted.
CREATE TABLE attempts (
  delivery INTEGER NOT NULL REFERENCES deliveries (seq),
  number   INTEGER NOT NULL,
  record   TEXT NOT NULL,
  PRIMARY KEY (delivery, number)
) WITHOUT ROWID;

-- What the last delivered event of a subject left on a channel: a thread's id, say.
CREATE TABLE threads (
  channel   TEXT NOT NULL,
  subject   TEXT NOT NULL,
  reference TEXT NOT NULL,
  PRIMARY KEY (channel, subject)
) WITHOUT ROWID;

-- Channels that deliver nothing until somebody enables them.
CREATE TABLE disabled_channels (
  name   TEXT PRIMARY KEY,
  at     INTEGER NOT NULL,
  reason TEXT NOT NULL
) WITHOUT ROWID;

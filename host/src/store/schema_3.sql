-- The data is nearly always a part of the payload: then it is empty here, and these say where in the payload it stands.
ALTER TABLE events ADD COLUMN data_at INTEGER;
ALTER TABLE events ADD COLUMN data_length INTEGER;

-- `seq` is the delivery's, times 1048576, and the attempt's number: rows without an index, whose records do not spill.
-- What was there before stays where it is: that many records take long to copy.
ALTER TABLE attempts RENAME TO attempts_2;
CREATE TABLE attempts (
  seq    INTEGER PRIMARY KEY,
  record TEXT NOT NULL
);

-- The writer counts by itself, instead of AUTOINCREMENT, which costs each INSERT a search and a write. `last` is written
-- whenever rows are taken away: above it and above all rows, no number was used. The tables themselves are the same with
-- and without that word, so it is only taken out of their text.
CREATE TABLE numbers (
  name TEXT PRIMARY KEY,
  last INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO numbers SELECT name, seq FROM sqlite_sequence WHERE name IN ('events', 'deliveries');
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, ' AUTOINCREMENT', '') WHERE name IN ('events', 'deliveries');
PRAGMA writable_schema = RESET;

-- One accepted request is one row. Ids are UUIDv7, so they rise with time: inserts append, expiry is a range.
CREATE TABLE batches (
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE CHECK (typeof(id) = 'blob' AND length(id) = 16),
  project TEXT NOT NULL CHECK (typeof(project) = 'text'),
  places INTEGER NOT NULL CHECK (places > 0),
  -- When it is due, or while it is leased the lease's end; Unix seconds. NULL: nothing is owed.
  due_at REAL CHECK (typeof(due_at) IN ('real', 'null')),
  -- Who holds the lease; NULL: nobody does.
  owner INTEGER CHECK (typeof(owner) IN ('integer', 'null')),
  -- One byte a place: 0 pending, 1 receipt {"status":"ok"}, 2 receipt in `receipts`, 3 refused.
  states BLOB NOT NULL,
  -- JSON {place: [attempts, due_at]} of pending places that were tried.
  retries TEXT,
  -- Why the row was set aside: it could not be read.
  broken TEXT,
  -- JSON {place: receipt}.
  receipts TEXT
);

-- The earliest due batch of all; the same of each project, so that a project that is skipped costs one step and not
-- one for each batch of its backlog.
CREATE INDEX batches_due ON batches (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX batches_due_by_project ON batches (project, due_at) WHERE due_at IS NOT NULL;

-- Apart from the row, so that a receipt does not rewrite it. Dropped when nothing is pending.
CREATE TABLE bodies (
  seq INTEGER PRIMARY KEY,
  body BLOB NOT NULL
);

ALTER TABLE projects ADD COLUMN kind TEXT NOT NULL DEFAULT 'emulated' CHECK (kind IN ('emulated', 'real'));
ALTER TABLE projects ADD COLUMN requires_token INTEGER NOT NULL DEFAULT 0 CHECK (requires_token IN (0, 1));
-- NULL: no limit.
ALTER TABLE projects ADD COLUMN notifications_per_second INTEGER CHECK (notifications_per_second > 0);
-- The JSON that Google gives out. A secret, as are the keys below: the file has mode 0600.
ALTER TABLE projects ADD COLUMN fcm_service_account TEXT;

CREATE TABLE apns_credentials (
  project_id TEXT NOT NULL REFERENCES projects (project_id),
  environment TEXT NOT NULL CHECK (environment IN ('production', 'sandbox', 'both')),
  -- JSON array; empty: any.
  bundle_ids TEXT NOT NULL,
  -- Of a .p8 key; NULL for a certificate.
  key_id TEXT,
  team_id TEXT,
  certificate_pem TEXT,
  private_key_pem TEXT NOT NULL,
  PRIMARY KEY (project_id, environment),
  CHECK ((certificate_pem IS NULL) = (key_id IS NOT NULL AND team_id IS NOT NULL))
) WITHOUT ROWID;

CREATE TABLE access_tokens (
  project_id TEXT NOT NULL REFERENCES projects (project_id),
  name TEXT NOT NULL,
  sha256 BLOB NOT NULL UNIQUE,
  hint TEXT NOT NULL,
  -- Unix seconds.
  created_at REAL NOT NULL,
  PRIMARY KEY (project_id, name)
) WITHOUT ROWID;

-- One row: how often anything above changed. Whoever keeps a copy compares. PRAGMA data_version would not do: it
-- moves with every batch, and differs from connection to connection.
CREATE TABLE projects_version (version INTEGER NOT NULL);
INSERT INTO projects_version VALUES (0);

CREATE TABLE projects (
  project_id TEXT PRIMARY KEY,
  -- @owner/slug
  full_name TEXT NOT NULL UNIQUE
) WITHOUT ROWID;

CREATE TABLE devices (
  push_token TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects (project_id),
  -- The phone that registered itself; NULL for a virtual device.
  device_id TEXT,
  app_id TEXT NOT NULL,
  platform TEXT NOT NULL CHECK (platform IN ('ios', 'android')),
  device_token TEXT NOT NULL,
  sandbox INTEGER NOT NULL CHECK (sandbox IN (0, 1)),
  virtual INTEGER NOT NULL CHECK (virtual IN (0, 1)),
  -- Unix seconds.
  registered_at REAL NOT NULL,
  -- Since when the provider calls the device token dead; NULL while it is alive.
  gone_at REAL
) WITHOUT ROWID;

-- One push token for each app of a phone in each project.
CREATE UNIQUE INDEX devices_registered ON devices (device_id, app_id, project_id) WHERE device_id IS NOT NULL;

-- SQLite can't change a CHECK: the table is made anew, with the platform `local` and all that hung on it.
CREATE TABLE devices_of_three_platforms (
  push_token TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects (project_id),
  -- The phone that registered itself; NULL for a virtual device.
  device_id TEXT,
  app_id TEXT NOT NULL,
  platform TEXT NOT NULL CHECK (platform IN ('ios', 'android', 'local')),
  device_token TEXT NOT NULL,
  sandbox INTEGER NOT NULL CHECK (sandbox IN (0, 1)),
  virtual INTEGER NOT NULL CHECK (virtual IN (0, 1)),
  -- Unix seconds.
  registered_at REAL NOT NULL,
  -- Since when the provider calls the device token dead; NULL while it is alive.
  gone_at REAL
) WITHOUT ROWID;

INSERT INTO devices_of_three_platforms (
  push_token, project_id, device_id, app_id, platform, device_token, sandbox, virtual, registered_at, gone_at
)
SELECT push_token, project_id, device_id, app_id, platform, device_token, sandbox, virtual, registered_at, gone_at
FROM devices;

DROP TABLE devices;
ALTER TABLE devices_of_three_platforms RENAME TO devices;

CREATE UNIQUE INDEX devices_registered ON devices (device_id, app_id, project_id) WHERE device_id IS NOT NULL;
-- For those who know a phone by Apple's or Google's token.
CREATE INDEX devices_by_token ON devices (device_token);

CREATE TRIGGER devices_updated AFTER UPDATE ON devices BEGIN
  INSERT INTO device_changes (push_token) VALUES (old.push_token);
END;

CREATE TRIGGER devices_deleted AFTER DELETE ON devices BEGIN
  INSERT INTO device_changes (push_token) VALUES (old.push_token);
END;

-- Apps that registered themselves at /api/mobile_app/registrations.
CREATE TABLE ha_registrations (
  -- SHA-256 of the webhook id, in hex.
  registration_id TEXT PRIMARY KEY,
  -- A secret, like the tokens that stand in this file: who has it acts for the app.
  webhook_id TEXT NOT NULL,
  -- Id of the access token that it was made with.
  user_id TEXT NOT NULL,
  -- Of its local device.
  push_token TEXT NOT NULL,
  app_id TEXT NOT NULL,
  app_name TEXT NOT NULL,
  app_version TEXT NOT NULL,
  device_name TEXT NOT NULL,
  slug TEXT NOT NULL,
  manufacturer TEXT NOT NULL,
  model TEXT NOT NULL,
  os_name TEXT NOT NULL,
  os_version TEXT,
  device_id TEXT,
  -- JSON object.
  app_data TEXT NOT NULL,
  -- Unix seconds, both.
  registered_at REAL NOT NULL,
  -- NULL while it is alive. A deleted one is remembered for its webhook to be answered.
  deleted_at REAL
) WITHOUT ROWID;

CREATE INDEX ha_registrations_of_app ON ha_registrations (app_id, device_id) WHERE deleted_at IS NULL;

-- Long-lived access tokens of Home Assistant's doors.
CREATE TABLE ha_tokens (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  sha256 BLOB NOT NULL UNIQUE,
  -- Unix seconds.
  created_at REAL NOT NULL
) WITHOUT ROWID;

-- What the relay sent to a push token on a day.
CREATE TABLE ha_relay_counts (
  -- Days since 1970, UTC.
  day INTEGER NOT NULL,
  -- SHA-256 of the push token.
  key BLOB NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  successful INTEGER NOT NULL DEFAULT 0,
  errors INTEGER NOT NULL DEFAULT 0,
  total INTEGER NOT NULL DEFAULT 0,
  -- Whether the phone was told that there is no more today.
  noticed INTEGER NOT NULL DEFAULT 0 CHECK (noticed IN (0, 1)),
  PRIMARY KEY (day, key)
) WITHOUT ROWID;

CREATE TABLE ha_notifications (
  notification_id TEXT PRIMARY KEY,
  message TEXT NOT NULL,
  title TEXT,
  -- Unix seconds.
  created_at REAL NOT NULL
) WITHOUT ROWID;

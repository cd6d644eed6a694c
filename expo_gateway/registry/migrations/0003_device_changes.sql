-- What happened to devices that somebody may keep a copy of; who does reads on from the last number that he saw.
-- Triggers write it, so that no statement can forget to. A new device is no change: nobody has a copy of it.
CREATE TABLE device_changes (
  number INTEGER PRIMARY KEY,
  -- NULL: all devices.
  push_token TEXT
);

CREATE TRIGGER devices_updated AFTER UPDATE ON devices BEGIN
  INSERT INTO device_changes (push_token) VALUES (old.push_token);
END;

CREATE TRIGGER devices_deleted AFTER DELETE ON devices BEGIN
  INSERT INTO device_changes (push_token) VALUES (old.push_token);
END;

CREATE TRIGGER projects_updated AFTER UPDATE OF full_name, kind ON projects
WHEN old.full_name <> new.full_name OR old.kind <> new.kind BEGIN
  INSERT INTO device_changes (push_token) VALUES (NULL);
END;

-- Who has fallen behind by more than is kept sees the gap in the numbers, and forgets all copies.
CREATE TRIGGER device_changes_kept AFTER INSERT ON device_changes BEGIN
  DELETE FROM device_changes WHERE number <= new.number - 4096;
END;

-- The issues of Acme Robotics when the demo starts.
CREATE TABLE issues (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT GENERATED ALWAYS AS ('T-' || number),
    title TEXT NOT NULL, body TEXT NOT NULL, project TEXT NOT NULL, status TEXT NOT NULL,
    priority TEXT NOT NULL, assignee TEXT, updated TEXT NOT NULL
);
CREATE TABLE comments (
    issue INTEGER NOT NULL REFERENCES issues (number) ON DELETE CASCADE,
    body TEXT NOT NULL, at TEXT NOT NULL
);

INSERT INTO issues (title, body, project, status, priority, assignee, updated) VALUES
    ('Gripper drops parcels over 12 kg', 'Seen on R3 units since firmware 4.2.',
     'arm', 'open', 'high', 'alice@acme.test', '2026-11-02T09:14:00+00:00'),
    ('Charging dock rejects swapped batteries', 'Contact plate is 2 mm too low.',
     'dock', 'in_progress', 'normal', 'bob@acme.test', '2026-11-03T16:40:00+00:00'),
    ('Fleet map freezes with more than 200 robots', 'The page asks for every position twice.',
     'fleet', 'open', 'high', 'alice@acme.test', '2026-11-04T08:05:00+00:00'),
    ('Translate the safety leaflet into Polish', 'Needed before the Poznan site opens.',
     'docs', 'open', 'low', 'carol@acme.test', '2026-11-05T11:30:00+00:00'),
    ('Emergency stop is logged two seconds late', 'Clock of the safety controller drifts.',
     'arm', 'in_progress', 'urgent', 'bob@acme.test', '2026-11-06T07:55:00+00:00'),
    ('Export of shift reports fails on Sundays', 'Week numbers start at the wrong day.',
     'fleet', 'closed', 'normal', 'bob@acme.test', '2026-11-07T13:20:00+00:00'),
    ('Rotate the fleet''s signing key', 'The old key was in a contractor''s backup.',
     'security', 'open', 'urgent', 'alice@acme.test', '2026-11-10T10:00:00+00:00'),
    ('Lidar shows ghosts behind glass doors', 'Only in the Lyon warehouse, in the morning.',
     'navigation', 'open', 'normal', NULL, '2026-11-11T15:45:00+00:00'),
    ('Spare parts page lists discontinued wheels', 'Hide everything marked end of life.',
     'docs', 'closed', 'low', 'carol@acme.test', '2026-11-12T09:10:00+00:00'),
    ('Speed limit is ignored after a remote restart', 'Zone limits load after the first move.',
     'navigation', 'in_progress', 'urgent', 'alice@acme.test', '2026-11-13T17:25:00+00:00'),
    ('Operators want a dark theme', 'Night shift in Gothenburg asks again.',
     'fleet', 'open', 'low', NULL, '2026-11-16T20:00:00+00:00'),
    ('Penetration test: open findings of October', 'Three of eleven are left; see the report.',
     'security', 'open', 'high', 'alice@acme.test', '2026-11-18T12:00:00+00:00');

INSERT INTO comments VALUES
    (1, 'Reproduced with 12.4 kg on the test bench.', '2026-11-02T14:00:00+00:00'),
    (7, 'New key is in the safe; roll-out planned for the 24th.', '2026-11-17T09:30:00+00:00'),
    (10, 'Workaround: send the zone limits again after the restart.', '2026-11-14T08:00:00+00:00');

-- The channels and messages of Acme Robotics when the demo starts.
CREATE TABLE channels (name TEXT PRIMARY KEY, topic TEXT NOT NULL);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL REFERENCES channels (name) ON DELETE CASCADE,
    author TEXT NOT NULL, text TEXT NOT NULL, at TEXT NOT NULL
);

INSERT INTO channels VALUES
    ('general', 'Everything that concerns everybody'),
    ('engineering', 'Firmware, fleet software and what broke'),
    ('incidents', 'One thread per incident; keep it factual'),
    ('sales', 'Leads, visits, contracts'),
    ('random', 'Robots doing silly things');

INSERT INTO messages (channel, author, text, at) VALUES
    ('general', 'bob',
     'The Poznan site opens in March. Forty R3 units!', '2026-11-17T12:00:00+00:00'),
    ('general', 'carol',
     'The safety leaflet goes to the translator today.', '2026-11-18T08:40:00+00:00'),
    ('engineering', 'alice',
     'Firmware 4.3 is on the bench. Grip force looks right now.', '2026-11-18T09:05:00+00:00'),
    ('engineering', 'bob', 'Dock hand-over is down to 1.8 seconds.', '2026-11-18T09:20:00+00:00'),
    ('engineering', 'alice',
     'I will rotate the signing key on the 24th, see T-7.', '2026-11-19T10:00:00+00:00'),
    ('incidents', 'bob',
     'Lyon: two robots stopped at a glass door at 07:12.', '2026-11-19T07:20:00+00:00'),
    ('incidents', 'alice',
     'Cause: low sun on the lidar. Blinds are down, robots move.', '2026-11-19T07:50:00+00:00'),
    ('sales', 'carol',
     'Poznan asks for a demo of the fleet map next week.', '2026-11-19T15:30:00+00:00'),
    ('random', 'bob',
     'R3-041 has been following the cleaning robot for an hour.', '2026-11-20T16:45:00+00:00');

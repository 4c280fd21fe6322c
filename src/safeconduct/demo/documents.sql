-- The documents of Acme Robotics when the demo starts.
CREATE TABLE documents (path TEXT PRIMARY KEY, text TEXT NOT NULL, updated TEXT NOT NULL);
CREATE TABLE shares (
    path TEXT NOT NULL REFERENCES documents (path) ON DELETE CASCADE,
    person TEXT NOT NULL, role TEXT NOT NULL, PRIMARY KEY (path, person)
);

INSERT INTO documents VALUES
    ('handbook/welcome.md',
     '# Welcome to Acme Robotics' || char(10) ||
     'We build robots that carry parcels, and people trust them.', '2026-09-01T08:00:00+00:00'),
    ('handbook/on-call.md',
     '# On call' || char(10) ||
     'One engineer, one week. Page the second after ten minutes.', '2026-10-12T10:30:00+00:00'),
    ('engineering/r3-firmware-4.3.md',
     '# Firmware 4.3' || char(10) ||
     'Grip force limits, faster dock hand-over, signed zone maps.', '2026-11-09T14:20:00+00:00'),
    ('engineering/fleet-map-redesign.md',
     '# Fleet map' || char(10) ||
     'Send changes, not positions. Target: 1,000 robots on one page.', '2026-11-05T09:00:00+00:00'),
    ('security/incident-plan.md',
     '# Incident plan' || char(10) ||
     'Who decides, who speaks, where the spare keys are.', '2026-08-20T12:00:00+00:00'),
    ('security/pentest-2026-10.md',
     '# Penetration test, October 2026' || char(10) ||
     'Eleven findings, three still open: P-4, P-7, P-9.', '2026-10-30T17:45:00+00:00'),
    ('finance/q3-2026.md',
     '# Third quarter 2026' || char(10) ||
     'Revenue 18.2 million, 412 robots delivered, margin 31 percent.', '2026-10-15T16:00:00+00:00'),
    ('finance/salaries-2026.md',
     '# Salary bands 2026' || char(10) ||
     'Confidential: people team and board only.', '2026-01-10T09:00:00+00:00'),
    ('sales/poznan-contract.md',
     '# Poznan contract, draft 3' || char(10) ||
     'Forty R3 units, opening in March 2027.', '2026-11-17T11:15:00+00:00');

INSERT INTO shares VALUES
    ('engineering/r3-firmware-4.3.md', 'alice@acme.test', 'editor'),
    ('finance/q3-2026.md', 'bob@acme.test', 'editor'),
    ('sales/poznan-contract.md', 'carol@acme.test', 'viewer');

# METADATA
# title: An input that is allowed
# description: Tests take it and change one thing, so that each refusal has its nearest neighbour.
package safeconduct.fixtures

import rego.v1

permitted := {
	"phase": "call",
	"caller": {
		"host": "acme",
		"subject": "bob",
		"client": "agent-1",
		"session": "ses-1",
		"server": "tickets",
	},
	"action": "tools/call",
	"resource": {"kind": "tool", "server": "tickets", "name": "delete_issue"},
	"arguments": {"id": "T-7"},
	"subject": {
		"id": "bob",
		"email": "bob@acme.test",
		"active": true,
		"groups": ["engineering"],
		"attributes": {"region": "EU"},
	},
	"client": {"id": "agent-1", "name": "Agent", "active": true, "kind": "dynamic"},
	"session": {"id": "ses-1", "server": "tickets", "live": true},
	"consent": {"id": "con-1", "level": "high", "live": true, "granted_at": "2026-11-21T09:00:00Z", "expires_at": "2026-12-01T00:00:00Z"},
	"ceiling": "high",
	"tool": {"known": true, "enabled": true, "state": "pinned", "level": "high"},
	"relations": [],
	"intent": null,
	"environment": {
		"time": "2026-11-21T12:00:00Z",
		"ip": "192.0.2.7",
		"user_agent": "agent/1",
		"software": "agent 1",
		"revision": "2026-07-28",
	},
}

# The permitted input with some members of one object changed.
changed(name, members) := object.union(permitted, {name: object.union(permitted[name], members)})

# The permitted input at these data.safeconduct.levels.
levels(required, consent, ceiling) := object.union(permitted, {
	"tool": object.union(permitted.tool, {"level": required}),
	"consent": object.union(permitted.consent, {"level": consent}),
	"ceiling": ceiling,
})

test_the_fixture_is_permitted if {
	answer := data.safeconduct.decision.answer with input as permitted
	answer.allow
}

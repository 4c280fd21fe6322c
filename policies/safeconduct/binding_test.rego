package safeconduct.binding_test

import rego.v1

reason(changed) := verdict.reason if {
	verdict := data.safeconduct.decision.verdict with input as changed
}

test_a_session_that_ended if {
	reason(data.safeconduct.fixtures.changed("session", {"live": false})) == "session.ended"
}

test_live_is_true_and_nothing_else if {
	reason(data.safeconduct.fixtures.changed("session", {"live": "true"})) == "session.ended"
	reason(data.safeconduct.fixtures.changed("subject", {"active": 1})) == "subject.inactive"
	reason(data.safeconduct.fixtures.changed("client", {"active": "yes"})) == "client.blocked"
}

test_an_inactive_person if {
	reason(data.safeconduct.fixtures.changed("subject", {"active": false})) == "subject.inactive"
}

test_a_blocked_agent if {
	reason(data.safeconduct.fixtures.changed("client", {"active": false})) == "client.blocked"
}

test_facts_of_another if {
	reason(data.safeconduct.fixtures.changed("subject", {"id": "alice"})) == "binding.mismatch"
	reason(data.safeconduct.fixtures.changed("client", {"id": "agent-2"})) == "binding.mismatch"
	reason(data.safeconduct.fixtures.changed("session", {"id": "ses-2"})) == "binding.mismatch"
	reason(data.safeconduct.fixtures.changed("session", {"server": "wiki"})) == "binding.mismatch"
	reason(data.safeconduct.fixtures.changed("resource", {"server": "wiki"})) == "binding.mismatch"
}

package safeconduct.host

import rego.v1

deny contains {"reason": "undeclared", "message": "Declare a purpose to use this server."} if {
	input.resource.server == "payroll"
	input.resource.kind != "server"
	not input.intent.purpose
}

obligations contains {"type": "require_approval"} if {
	input.resource.server == "payroll"
	not expected
}

obligations contains {"type": "notify", "about": input.intent.workflow} if {
	input.resource.server == "payroll"
	input.tool.level == "high"
}

expected if input.intent.purpose in data.purposes.payroll

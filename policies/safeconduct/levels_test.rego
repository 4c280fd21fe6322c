package safeconduct.levels_test

import rego.v1

test_levels_are_ordered if {
	data.safeconduct.levels.rank.low < data.safeconduct.levels.rank.medium
	data.safeconduct.levels.rank.medium < data.safeconduct.levels.rank.high
	count(data.safeconduct.levels.rank) == 3
}

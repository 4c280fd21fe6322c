# METADATA
# title: Levels
# description: Levels are words; their order is here and nowhere else. A word that is not listed has no rank, so nothing compares with it.
# custom: {requirements: [Z-07]}
package safeconduct.levels

import rego.v1

rank := {"low": 1, "medium": 2, "high": 3}

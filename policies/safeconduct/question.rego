# METADATA
# title: Questions
# description: >-
#   A host's data may put questions to the relations, under `questions`. Their answers stand here
#   by name: `data.safeconduct.questions.answers.owns`. Where an argument named several objects,
#   it is a yes only if each of them was. A question that names no object is a no.
# custom: {requirements: [Z-16, Z-19]}
package safeconduct.questions

import rego.v1

answers[name] := yes if {
	some name in {fact.name | some fact in input.relations; fact.name != ""}
	yes := {fact.allowed | some fact in input.relations; fact.name == name} == {true}
}

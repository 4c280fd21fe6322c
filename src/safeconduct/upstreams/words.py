"""The words of tools' names, by class: verbs that read, change, run and destroy; and objects.

A class says what a word means, never which tool it stands in. `classify` puts them together.
"""

from __future__ import annotations

import re

# ruff: noqa: SIM905  a table of words is read as a text
_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")

# Verbs that destroy or put somebody else in one's place, wherever they stand in a name.
DESTROYING = frozenset(
    "delete del remove rm rmdir destroy drop purge erase truncate terminate kill revoke wipe "
    "uninstall unpublish deprovision shred nuke overwrite decommission expunge obliterate "
    "impersonate sudo bypass".split()
)
# Verbs whose effect cannot be taken back, that open access, or that stand for whatever can be
# done. Many are objects as well (a refund, a reset), so they count where a verb may stand.
IRREVERSIBLE = frozenset(
    "reset alter clean cleanup clear flush empty prune manage administer migrate evict drain "
    "forget discard ban kick offboard rollback shutdown reboot reimage reinstall reinitialize "
    "reformat downgrade unprotect grant elevate pay buy purchase charge refund withdraw payout "
    "failover disown".split()
)
# Verbs that run what they are given, where that is something that runs.
RUNNING = frozenset(
    "execute exec run eval evaluate invoke call spawn launch start perform do trigger dispatch "
    "deploy apply submit send interact type input inject attach open interpret load".split()
)
# Verbs that run whatever comes, wherever they stand.
RUNNING_ANYTHING = frozenset({"exec", "eval"})
# Verbs that do, too, when nothing says what they run.
RUNNING_ALONE = frozenset({"execute", "evaluate", "run"})
# Verbs that change something, and are no objects.
CHANGING = frozenset(
    "create write update modify put insert add send execute exec invoke submit deploy apply save "
    "rename cancel close reopen approve reject assign unassign reply enable disable stop restart "
    "attach detach subscribe unsubscribe unlock unpin unlink sign replace append configure "
    "rotate generate join leave forward upsert accept decline confirm complete dismiss "
    "acknowledge publish unarchive enqueue activate deactivate suspend provision install upgrade "
    "navigate click drag press type interact select switch choose adjust resize connect "
    "authorize authenticate login logout perform do dispatch inject input interpret".split()
)
# Verbs that change something, or the things that come of it: behind a verb that reads, objects.
CHANGING_OR_OBJECT = frozenset(
    "set edit post run push patch archive restore merge move transfer open upload trigger comment "
    "invite share schedule import export sync copy clone fork lock pin mark tag label link book "
    "order register call change make build release follow react draft start watch store stash "
    "commit process record dump vote rate pause resume play launch spawn eval evaluate split "
    "mute flag trade stake sell deposit mint load".split()
)
# Verbs that only read.
READING = frozenset(
    "get list search read find fetch describe show view lookup browse retrieve explain inspect "
    "peek who what whoami summarize preview compare diff ls cat tail grep glob is has exists "
    "analyze analyse calculate estimate count validate check ping query".split()
)
# Those of them that show what they read, and not what they make of it.
SHOWING = READING - frozenset(
    "explain summarize compare diff is has exists analyze analyse calculate estimate count "
    "validate check ping".split()
)
# Those that say nothing of what they show when they stand alone.
SHOWING_ANYTHING = frozenset("get read show view retrieve".split())
# Those that are objects as well: todo_list_clear, code_search_save.
READING_OR_OBJECT = frozenset("list view search check query count preview explain".split())
# Those that stand behind what they read, also where that is called like a verb: label_get.
LAST_READING = frozenset("get fetch retrieve describe".split())
# Words that read where no verb stands: more often they are objects.
STATE = frozenset(
    "status stat stats help history head echo info version overview details download "
    "resolve".split()
)

# Objects that run: who may give one may do anything.
RUNS = frozenset(
    "sql psql query cypher sparql gremlin command cmd shell bash sh zsh powershell pwsh script "
    "code javascript python terminal console repl process subprocess statement dyno generic raw "
    "arbitrary action operation tool migration ddl dml mutation macro program expression cli "
    "kubectl terraform playbook applescript notebook cell stdin keystroke".split()
)
# Those that say so without a verb.
RUNS_ALONE = frozenset(
    "sql psql command cmd shell bash sh zsh powershell pwsh terminal console repl subprocess "
    "generic raw arbitrary cli applescript stdin".split()
)
# What stands for a database behind `query`.
DATABASES = frozenset(
    "database db sql table postgres postgresql mysql mariadb sqlite mssql oracle mongo mongodb "
    "clickhouse snowflake bigquery redshift duckdb warehouse cypher neo".split()
)
# What opens other things: to show it is harm, and to change it more so.
SECRETS = frozenset(
    "secret password passwd passphrase credential apikey keychain vault otp totp mfa cookie env "
    "dotenv envvar token keypair pem kubeconfig mnemonic".split()
)
SECRET_PAIRS = frozenset(
    {("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("ssh", "key")}
    | {("signing", "key"), ("encryption", "key"), ("deploy", "key"), ("service", "key")}
    | {("recovery", "code"), ("backup", "code"), ("environment", "variable"), ("env", "var")}
    | {("env", "variable"), ("connection", "string"), ("config", "var")}
)
# What decides who may do what.
ACCESS = frozenset(
    "permission role access acl rbac iam collaborator admin owner ownership privilege "
    "entitlement".split()
)
PEOPLE = frozenset("user group member people person account membership employee".split())
MONEY = frozenset("payment payout fund money withdrawal refund charge".split())
# What protects, and is not to be switched off.
GUARDS = frozenset(
    "rls security protection mfa firewall auth authentication encryption audit auditing logging "
    "policy guard validation verification approval alarm alert monitoring backup antivirus waf "
    "rule safety sandbox ssl tls".split()
)
OPENING = frozenset("public anonymous everyone anyone".split())
MANY = frozenset("bulk all everything mass".split())
SEVERAL = frozenset("batch multiple many".split())  # adding several things is no harm

SWITCHING_OFF = frozenset("disable stop suspend pause mute deactivate".split())
REPLACING = frozenset("import sync restore replace load".split())
ADDING = frozenset("create add insert append upload post generate make build".split())
FORCING = frozenset({"force", "forced", "hard"})
ANYTHING = frozenset({"management", "administration"})

VERBS = READING | CHANGING | CHANGING_OR_OBJECT | RUNNING | IRREVERSIBLE
KNOWN = VERBS | DESTROYING | STATE | RUNS | SECRETS | PEOPLE | GUARDS | ACCESS | MANY

AND = frozenset({"and", "or", "then", "plus"})
BEFORE_A_DETAIL = frozenset("by for of in from with to on at as per via into".split())
# What may follow a secret that is shown all the same.
_DETAILS = frozenset("value values content contents version text raw id name string".split())
_WRITTEN_TOGETHER = ("execute", "exec", "run", "eval", "delete", "remove", "destroy", "truncate")
_ENDINGS = frozenset("d s r rs al able".split())
_SHORTEST_STEM = 4


def split(name: str) -> list[str]:
    """Split a tool's name into lower-case words: by separators, digits and camelCase."""
    return [part for word in _PARTS.findall(name) for part in _parted(word.lower())]


def _parted(word: str) -> list[str]:
    """Part a word that is a verb and its object written together: runcommand, deleteuser."""
    if word in KNOWN or singular(word) in KNOWN:
        return [word]
    for verb in _WRITTEN_TOGETHER:
        rest = word.removeprefix(verb)
        if rest != word and (is_of(rest, RUNS) or (verb in DESTROYING and rest not in _ENDINGS)):
            return [verb, rest]
    return [word]


def singular(word: str) -> str:
    """Return a word without the ending of a plural, as far as the tables need it."""
    if word.endswith("ies") and len(word) > _SHORTEST_STEM:
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss") and len(word) > _SHORTEST_STEM - 1:
        return word[:-1]
    return word


def is_of(word: str, table: frozenset[str]) -> bool:
    """Say whether a word, or what it is the plural of, is of a class."""
    return word in table or singular(word) in table


def head_of(words: list[str]) -> list[str]:
    """Return words up to the last thing that is meant: details behind it are left out."""
    for position, word in enumerate(words):
        if position and word in BEFORE_A_DETAIL:
            words = words[:position]
            break
    while len(words) > 1 and words[-1] in _DETAILS:
        words = words[:-1]
    return words


def shows_a_secret(words: list[str]) -> str:
    """Return the secret that objects are about, as it is spelled; "" for none."""
    head = head_of(words)
    if head and is_of(head[-1], SECRETS):
        return head[-1]
    pair = tuple(map(singular, head[-2:]))
    return " ".join(head[-2:]) if pair in SECRET_PAIRS else ""

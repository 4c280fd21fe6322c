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
    "impersonate sudo bypass mkfs".split()
)
# Verbs whose effect cannot be taken back, that open access, or that stand for whatever can be
# done. Many are objects as well (a refund, a reset), so they count where a verb may stand.
IRREVERSIBLE = frozenset(
    "reset alter clean cleanup clear flush empty prune manage administer migrate evict drain "
    "forget discard ban kick offboard rollback shutdown reboot reimage reinstall reinitialize "
    "reformat downgrade unprotect grant elevate pay buy purchase charge refund withdraw payout "
    "failover disown wire remit".split()
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
    "authorize authenticate login logout perform do dispatch inject input interpret "
    "assume swap".split()
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
    "resolve screenshot".split()
)

# Objects that run: who may give one may do anything.
RUNS = frozenset(
    "sql psql query cypher sparql gremlin command cmd shell bash sh zsh powershell pwsh script "
    "code javascript python terminal console repl process subprocess statement dyno generic raw "
    "arbitrary action operation tool migration ddl dml mutation macro program expression cli "
    "kubectl terraform playbook applescript notebook cell stdin keystroke interpreter js "
    "typescript ruby perl php lua wasm npx uvx bunx pipx ssh aws gcloud az".split()
)
# Those that say so without a verb.
RUNS_ALONE = frozenset(
    "sql psql command cmd shell bash sh zsh powershell pwsh terminal console repl subprocess "
    "generic raw arbitrary cli applescript stdin interpreter mutation npx uvx bunx "
    "pipx ssh gcloud".split()
)
# Verbs that hand over what they are given to what answers anything.
CALLING = frozenset("call invoke execute request".split())
ANSWERS_ANYTHING = frozenset("api endpoint rpc method".split())
# Languages that change as well as they read, whatever verb stands before them alone.
LANGUAGES = frozenset("sql psql tsql plsql".split())
ASKING = frozenset("read fetch search find retrieve lookup query".split())
# What stands for a database behind `query`.
DATABASES = frozenset(
    "database db sql table postgres postgresql mysql mariadb sqlite mssql oracle mongo mongodb "
    "clickhouse snowflake bigquery redshift duckdb warehouse cypher neo".split()
)
# What opens other things: to show it is harm, and to change it more so.
SECRETS = frozenset(
    "secret password passwd passphrase credential apikey keychain vault otp totp mfa cookie env "
    "dotenv envvar token keypair pem kubeconfig mnemonic jwt dsn netrc keystore "
    "keyfile xprv".split()
)
# What makes a secret of the word behind it.
_OPENS = {
    "key": "api access private secret ssh signing encryption deploy service anon publishable "
    "license master account admin root gpg pgp tls ssl wallet storage session role",
    "code": "recovery backup verification login mfa otp fa passcode",
    "phrase": "seed recovery backup secret pass",
    "seed": "wallet hd master",
    "variable": "environment env",
    "var": "env config",
    "string": "connection",
    "url": "connection database db redis postgres mysql mongo mongodb presigned signed sas webhook",
    "uri": "connection database db redis postgres mysql mongo mongodb presigned signed sas webhook",
    "json": "account",
    "header": "auth authorization",
}
SECRET_PAIRS = frozenset(
    (first, last) for last, before in _OPENS.items() for first in before.split()
)
# What decides who may do what.
ACCESS = frozenset(
    "permission role access acl rbac iam collaborator admin owner ownership privilege policy "
    "entitlement".split()
)
PEOPLE = frozenset("user group member people person account membership employee".split())
MONEY = frozenset(
    "payment payout fund money withdrawal refund charge trade bank ach sepa crypto coin bitcoin "
    "btc eth ether usdc usdt".split()
)
SENDING = frozenset("sign send submit execute perform make approve".split())
# What protects, and is not to be switched off.
GUARDS = frozenset(
    "rls security protection mfa firewall auth authentication encryption audit auditing logging "
    "policy guard validation verification approval alarm alert monitoring backup antivirus waf "
    "rule safety sandbox ssl tls".split()
)
# Verbs that speak to somebody, and are what is said as well; and those of them that reach all.
SPEAKING = frozenset("email mail dm message notify sms text tweet broadcast blast".split())
BROADCASTING = frozenset("broadcast blast".split())
# What is empty once it was formatted.
VOLUMES = frozenset("disk drive volume partition filesystem usb".split())
# Things, and what stands behind one and says how it is.
THINGS = frozenset(
    "git directory folder file collection table database db repo repository browser page network "
    "console screen window tab container index project desktop accessibility".split()
)
DESCRIPTIONS = frozenset("log tree schema snapshot screenshot index message request".split())
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
_FILES = _DETAILS | frozenset("file json yaml yml jar store plaintext".split())
_WRITTEN_TOGETHER = ("execute", "exec", "run", "eval", "delete", "remove", "destroy", "truncate")
_ENDING_TOGETHER = ("flush", "drop", "kill", "wipe", "purge", "clear", "reset")
_TOGETHER = frozenset("all db database table cache everything".split())
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
    for verb in _ENDING_TOGETHER:
        rest = word.removeprefix(verb)
        if rest != word and is_of(rest, _TOGETHER):
            return [verb, rest]
    return [word]


def singular(word: str) -> str:
    """Return a word without the ending of a plural, as far as the tables need it."""
    if word.endswith("ies") and len(word) > _SHORTEST_STEM and word[:-1] not in KNOWN:
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss") and len(word) > _SHORTEST_STEM - 1:
        return word[:-1]
    return word


def is_of(word: str, table: frozenset[str]) -> bool:
    """Say whether a word, or what it is the plural of, is of a class."""
    return word in table or singular(word) in table


def head_of(words: list[str], details: frozenset[str] = _DETAILS) -> list[str]:
    """Return words up to the last thing that is meant: details behind it are left out."""
    words = _before_details(words)
    while len(words) > 1 and words[-1] in details:
        words = words[:-1]
    return words


def shows_a_secret(words: list[str]) -> str:
    """Return the secret that objects are about, as it is spelled; "" for none."""
    meant = _before_details(words)
    for length in range(len(meant), len(head_of(meant, _FILES)) - 1, -1):
        pair = meant[max(0, length - 2) : length]
        if tuple(map(singular, pair)) in SECRET_PAIRS:
            return " ".join(pair)
    head = head_of(meant, _FILES)
    return head[-1] if head and is_of(head[-1], SECRETS) else ""


def describes_a_thing(words: list[str]) -> str:
    """Return the word that says how a thing is, where nothing but that thing stands before it."""
    *things, last = words or [""]
    named = bool(things) and all(is_of(each, THINGS) for each in things)
    return last if named and is_of(last, DESCRIPTIONS) else ""


def _before_details(words: list[str]) -> list[str]:
    at = (at for at, word in enumerate(words) if at and word in BEFORE_A_DETAIL)
    return words[: next(at, len(words))]

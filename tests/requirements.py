"""The requirement manifest: what the product promises, row by row, and which rows wait.

Tests name the rows they prove with `@pytest.mark.requirement(...)`. `test_requirements.py`
holds the two together: a row has a test or a written reason why not, never both.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Requirement:
    """One row. `deferral` says why no test proves it yet, or is None."""

    source: str
    behaviour: str
    deferral: str | None = None


_PRODUCT = {
    "A-01": (
        "A person signs in and consents before any agent reaches any server; there is no "
        "anonymous way in."
    ),
    "A-02": "Every session and every audit entry names the human behind the agent.",
    "A-03": "Each host has its own sign-in settings; a new host has passwords only.",
    "A-04": (
        "People sign up, sign in and reset a password by address, without learning who "
        "else has an account."
    ),
    "A-17": "Settings are checked when they are saved, and what is wrong is named.",
    "A-18": (
        "A person can be given access before the first sign-in, bound to a verified address only."
    ),
    "A-19": "Signing in alone gives access to nothing.",
    "A-21": "Signing out ends the browser's session for good.",
    "A-22": "Mail goes out through the operator's SMTP server, with its secret kept out of sight.",
    "A-26": (
        "Cookies and forms are hardened: host-bound, HTTP only, same-site, one-time form "
        "tokens, no framing."
    ),
    "C-01": "Nothing is possible for an agent before its human said yes to it for that server.",
    "C-02": "The client is challenged, discovers the endpoints and opens a browser.",
    "C-03": "The person signs in on the way to consent.",
    "C-04": "The person chooses one of the servers an admin granted, each described.",
    "C-05": "A person without any server is told so and whom to ask.",
    "C-06": "The server is reached and its tools are read before the person decides.",
    "C-07": "The person picks a trust level; levels above the ceiling cannot be picked.",
    "C-08": "The tools each level gives are shown before granting.",
    "C-09": "The screen shows the levels the admin sees, not a fresh guess.",
    "C-10": "The person allows or denies, and a denial goes back to the client as such.",
    "C-11": "A yes is checked, written down and made effective in one order.",
    "C-12": "The ceiling holds on the screen, at the endpoint and in the decision.",
    "C-13": "Only servers of the catalogue can be consented to.",
    "C-14": "Editing the form's request cannot grant more than the ceiling.",
    "C-15": "A consent lasts for a chosen time.",
    "C-16": "Consenting again changes the level; an admin's raise alone does not.",
    "C-17": "A client can suggest the server; it still takes sign-in, grant and consent.",
    "C-18": "A server's own address skips the choice of server and nothing else.",
    "C-25": (
        "The consent page names the client and where it redirects to, and cannot be "
        "framed or forged."
    ),
    "C-26": "People see what they granted and take it back.",
    "C-27": "A consent is recorded with who, which agent, which server, level and expiry.",
    "C-28": "A live session is used again without asking again.",
    "C-29": "Import, grant, consent and call each need the one before.",
    "D-05": "Each host has its own policy: rules, history and repository branch.",
    "D-06": "An enforcement point downloads what decides now, as an OPA bundle with an ETag.",
    "D-07": (
        "Single files of a host's rules are switched off, and on again, by one line; one member "
        "of its data is replaced by a request."
    ),
    "D-08": (
        "The built-in rules deny unless everything needed holds; whoever is on a deny-list is "
        "refused whatever was granted."
    ),
    "D-09": "Where a host's rules stand, how old they are and what went wrong can be seen.",
    "D-11": "Rules come from a git repository, one branch for each environment.",
    "E-01": (
        "The demo runs without a network; its seeded servers show reading, writing and destroying."
    ),
    "E-02": "The demo's three people may let agents do different things.",
    "H-01": "A call that needs an approval is held while all others go on.",
    "H-06": "Approval comes after the policy: a denied call asks nobody, and a yes undoes no deny.",
    "H-07": "What nobody approves in time is refused, never approved.",
    "H-08": "The agent hears that it waits, and why it was refused.",
    "H-10": "What was asked, who decided and what became of it can be read afterwards.",
    "H-12": "What was approved is what runs, once, whichever node holds the call.",
    "H-14": "An operator's approval and the person's consent are two things, and may be combined.",
    "K-03": "One client used by two people never lets one use what the other granted.",
    "K-04": "A session is bound to host, person, client and server.",
    "K-06": "A denied call is a JSON-RPC error with a code of its own and data to act on.",
    "K-08": "Both protocol eras are served on one URL, and either is spoken to the upstream.",
    "K-09": "Every consent expires unless the host allows otherwise.",
    "K-11": "Lists show what the caller could call; a hidden tool answers like an unknown one.",
    "K-12": "Names are judged by whole words; what is not known is medium; annotations only raise.",
    "K-13": "HTTP 403 is used only where signing in again can help.",
    "K-15": "A client that gives up waiting finds its request, or its approval, when it retries.",
    "K-16": "All nine cells of the smaller-of-two table hold.",
    "L-01": "Every decision is logged, allowed or denied.",
    "L-02": "One log holds all servers and agents of a host.",
    "L-03": "An entry names who, through what, which tool of which server, when, and the decision.",
    "L-04": "An entry tells which policy decided and why.",
    "L-05": "Sign-ins, consents and the beginning and end of sessions are logged.",
    "L-06": "Every consent is in the log.",
    "L-07": (
        "The log is filtered by agent, person, server, action, decision and time, page by page."
    ),
    "L-10": "Denials carry their reason.",
    "L-12": "Every call leads to one human and one agent.",
    "L-16": "The log is only appended to, and tampering shows.",
    "L-17": "What decided at a given time can be shown, with who changed it and why.",
    "L-18": "Arguments are logged without their secrets, with a digest of the original.",
    "L-19": "A host's log is nobody else's.",
    "P-01": "Adoption is one changed URL.",
    "P-02": "Clients of all protocol revisions in use are served over Streamable HTTP.",
    "P-04": "Any server that follows the protocol works behind the gateway.",
    "P-08": "A server's tools are read to the last page at import and at consent.",
    "P-09": "The list of tools holds what the caller may use.",
    "P-10": "Allowed calls and their results pass unchanged.",
    "P-11": "A denied call says what happened and what to do.",
    "P-12": "The steps of a call come in one order.",
    "P-13": "An unknown host is refused as such.",
    "P-14": "The enforcement point asks and enforces, and holds no rules of its own.",
    "P-15": "A governed call costs exactly one upstream request.",
    "P-16": (
        "A backend need implement neither OAuth nor MCP: a plain HTTP API is exposed as tools, "
        "declared by hand or by an OpenAPI document."
    ),
    "P-18": "Several servers stand behind one host, by path or by the person's choice.",
    "P-19": "Notifications, progress and cancellation are carried through.",
    "P-20": "Sign-in, registration and MCP endpoints have limits per address.",
    "P-21": "Over the limit the answer is 429 with the time to wait.",
    "P-24": "Addresses given by others are judged and pinned before they are connected to.",
    "P-25": "The protocol's routing headers must agree with the body.",
    "P-26": "Decisions rest on the body alone.",
    "P-27": "Lists filtered for one caller are marked private.",
    "P-28": "A tool whose definition changes is noticed, ended and reviewed by an operator.",
    "P-29": "Bodies, headers and streams are bounded.",
    "P-31": "A positive answer is not kept for the next call.",
    "S-01": "Sessions outlive restarts of client and gateway.",
    "S-02": "A session knows its server and the consent it stands on.",
    "S-03": "A session belongs to one host, client, person and server.",
    "S-04": "A session that rests too long ends.",
    "S-05": "A session ends at its absolute limit, however busy.",
    "S-06": "An ended session fails at the next call.",
    "S-07": "After a session's end the client signs in again; the consent is kept.",
    "S-08": "The beginning and end of sessions are logged.",
    "S-09": "The older era's transport session is apart from ours and rebuilt from it.",
    "S-10": "Sessions of one host are nothing on another.",
    "S-12": "Taking a person off a server ends their sessions there, streams included.",
    "T-01": "Each host is an authorization server of its own.",
    "T-02": "A request without a token is challenged with where to go.",
    "T-03": "Protected-resource metadata is published for every endpoint.",
    "T-04": "Authorization-server metadata is published on the host itself.",
    "T-05": "PKCE with S256 is mandatory.",
    "T-06": "Clients register at run time.",
    "T-07": "Clients are known by their metadata documents.",
    "T-08": "Clients are known beforehand, loopback redirects on any port.",
    "T-09": "The authorization-code flow is exact about redirects, state, issuer and single use.",
    "T-10": "Access tokens are opaque, random and stored as digests.",
    "T-11": "Tokens are for one audience.",
    "T-12": "Refresh tokens rotate, and reuse ends the family.",
    "T-13": "Tokens can be revoked.",
    "T-14": "Enforcement points introspect tokens, and the answer is decided anew each time.",
    "T-15": "Policy is evaluated when a token is issued and again at each use.",
    "T-21": "The tier of an agent's provider counts at every token request, introspection, call.",
    "T-27": "A policy may shorten the life of tokens.",
    "T-31": "Listed agents and people are refused, whatever else is so.",
    "T-16": "A change of policy data acts on the next call, with the same token.",
    "T-28": "Nothing stands for ever: every token expires.",
    "T-29": "The agent's identity is apart from the person's.",
    "T-42": "A valid token alone decides nothing.",
    "T-20": "Providers of agents are mapped to trust tiers in data.",
    "T-22": "The example matrix of trust tiers holds, and one row of data changes the outcome.",
    "Z-14": "Roles of people and agents narrow what they may use.",
    "Z-15": "Attributes of person, agent, time and place decide.",
    "Z-08": "Servers, tools, people, agents, groups and ceilings are types and relations.",
    "Z-16": "Relationships decide, along the graph.",
    "Z-17": "Arguments decide, not only scopes.",
    "Z-18": "Permission is needed on the very instance a call is about.",
    "Z-19": "Roles, attributes and relationships are one decision with one reason.",
    "Z-33": "A new tool takes one line or one action, and is governed by the rules there are.",
    "Z-41": "Servers and tools of one host are controlled each in its own way.",
    "Z-43": "Reading, writing and what is riskier are apart for each server.",
    "Z-34": "Obligations are discharged, and an unknown one refuses.",
    "Z-35": "Lists in results are filtered item by item.",
    "Z-36": "A policy can allow, ask the person, ask an approver, throttle or deny.",
    "Z-42": "Rules are tested by scenarios and replayed against the log before they decide.",
    "Z-45": "What an agent declares its use to be for can refuse it, or have it asked about.",
    "Z-44": "Results are cut, redacted and masked before an agent sees them.",
    "L-11": "A decision can be explained: its conditions, its rules, its relations.",
    "L-22": "Recorded decisions are replayed against other rules.",
    "X-01": "Hosts are tenants with nothing in common.",
    "X-02": "A host has exactly one policy environment.",
    "Z-01": "Every call is decided before it reaches the server; denied calls never do.",
    "Z-02": "The question is whether this agent may use this tool of this server.",
    "Z-03": "A fresh host permits nothing.",
    "Z-04": "Tools are classified low, medium or high at import.",
    "Z-05": "The classification comes from the tool's name.",
    "Z-06": "An admin's override of a tool acts at once.",
    "Z-07": "Higher levels include the lower ones.",
    "Z-09": "The effective level is the smaller of granted and allowed.",
    "Z-10": "The chain from agent to human to server is followed in each decision.",
    "Z-11": "A decision uses only the grants of the human whose session made the call.",
    "Z-12": "Admins set the ceiling for each person or group and server.",
    "Z-13": "Each agent of a person has a level of its own.",
    "Z-20": "One policy surface covers all servers and agents.",
    "Z-21": "Nothing that is allowed outlives its reason, on the very next call.",
    "Z-22": "What ends by itself, or with a change, is on record.",
    "Z-23": "No decision outlives its call.",
    "Z-24": "A change acts on the very next call.",
    "Z-26": (
        "Access is revoked for one agent, for one person on a server, or for a person altogether."
    ),
    "Z-27": "Tools are switched off one by one.",
    "Z-28": "Resources and prompts are governed like tools.",
    "Z-29": "Every decision carries a reason people can read.",
    "Z-30": "An agent can do nothing its human could not.",
    "Z-31": (
        "Rules are managed by API, by files or git, and by command; the dashboard and a Terraform "
        "provider are not there."
    ),
    "Z-32": "Rules in git decide once judged and tested; what fails leaves the last good ones.",
    "Z-37": "Whatever fails, fails closed.",
    "Z-38": "Other enforcement points ask for decisions by AuthZEN 1.0.",
    "Z-40": "Delegation is tuples that can be seen and edited.",
}
_PROTOCOL = {
    "GW-01": "Headers that disagree with the body are refused.",
    "GW-02": "What was judged is the parsed body, and those bytes are forwarded.",
    "GW-03": "Mirrored parameters the pinned schema does not know are refused.",
    "GW-04": "Routing headers given twice are refused.",
    "GW-05": "A message that claims two eras is refused.",
    "GW-06": "A tool keeps its own name in list, body and header, and its schema.",
    "GW-07": "A list filtered per caller goes out as private.",
    "GW-08": "Nothing private is kept for another caller.",
    "GW-09": "A caller that leaves closes the upstream's stream where the era says so.",
    "GW-10": "Streams are flushed event by event, kept alive and bounded.",
    "GW-11": "Long streams end when the caller's right to them ends.",
    "GW-12": "A request's state comes back only to whom it was given.",
    "GW-13": "Requests for input the client cannot give are not passed on.",
    "GW-14": "Trace context in a message is handed on; a baggage header is not.",
    "GW-15": "Ids of the two directions are never mixed up.",
    "RS-01": "Metadata names the exact endpoint and its authorization server.",
    "RS-02": "Metadata is offered in the challenge and at the well-known paths.",
    "RS-03": "401, 403 and 400 are kept apart.",
    "RS-04": "The challenge names the least scope.",
    "RS-05": "A lack of scope is answered with everything that is missing.",
    "RS-06": "Scopes include the ones below them.",
    "RS-07": "Every request's token is checked.",
    "RS-08": "Only tokens for this audience are accepted.",
    "RS-09": "The caller's token never travels to the upstream.",
    "RS-10": "Tokens are taken from the Authorization header only.",
    "RS-11": "offline_access is not offered.",
    "RS-12": "The published scopes are the basic set.",
    "RS-13": "Harmless spellings of the resource are accepted, one is published.",
    "RS-14": "A foreign Origin is refused before anything is parsed.",
    "RS-15": "Transport session ids open only for their principal.",
    "AS-01": "OAuth 2.1 for public and confidential clients, over HTTPS.",
    "AS-02": "Both discovery documents are served.",
    "AS-03": "The issuer is the same text everywhere.",
    "AS-04": "S256 is advertised and enforced for every client.",
    "AS-05": "Redirect URIs match exactly, or nothing is redirected.",
    "AS-06": "Every authorization response names its issuer.",
    "AS-07": "Metadata documents are advertised when they can be resolved.",
    "AS-08": "A metadata document must name its own URL.",
    "AS-09": "Metadata documents are fetched with bounds and care.",
    "AS-10": "The redirect's host is shown, and localhost is warned about.",
    "AS-11": "Dynamic registration is checked, bounded and forgotten when unused.",
    "AS-12": "Consent is per client.",
    "AS-13": "The resource is honoured at both endpoints.",
    "AS-14": "Access tokens are short-lived, refresh tokens rotate.",
    "AS-15": "Token responses are exact and not stored.",
    "AS-16": "The metadata is complete.",
    "AS-17": "Codes are single-use and bound; replay ends what came of them.",
    "SEC-01": "Consent is checked for each person and client.",
    "SEC-02": "The consent page names the client, the scope and the redirect.",
    "SEC-03": "Forms carry tokens and pages cannot be framed.",
    "SEC-04": "Consent's cookies are host-bound, hidden from scripts, and mean nothing elsewhere.",
    "SEC-05": "Redirect URIs are compared as strings.",
    "SEC-07": "Localhost redirects carry a warning.",
    "SEC-10": "The audience of every token is checked.",
    "SEC-11": "Nothing of the caller's connection reaches the upstream.",
    "SEC-12": "Tokens are separate for each person and upstream.",
    "SEC-13": "No token is ever in a URL, log, error or result.",
    "SEC-20": "Documents come over HTTPS only.",
    "SEC-21": (
        "Private and special addresses are refused, and the judged address is the one connected to."
    ),
    "SEC-22": "Redirects are not followed.",
    "SEC-23": "Fetches are bounded in size, time and kind.",
    "SEC-25": "Fetched content is never echoed.",
    "SEC-27": "Upstreams on private networks need an operator's word.",
    "SEC-30": "A transport session authenticates nobody, and is unknown to anybody but its owner.",
    "SEC-31": "State handed out is bound to its principal; holding it is no authorization.",
    "SEC-32": "Events are resumed only by the principal and session they were for.",
    "SEC-40": "Challenges are precise and scopes are never enough alone.",
    "SEC-50": "All a model is given is pinned by a hash.",
    "SEC-51": "New and changed tools wait for review.",
    "SEC-55": "Invisible and bidirectional characters are no part of a name.",
    "SEC-54": "Annotations are claims and cannot lower a level.",
    "SEC-56": "Arguments and structured results are held against the pinned schemas, in bounds.",
    "SEC-57": "What an upstream returns is untrusted, and so is what it asks for.",
    "SEC-60": "Origin and Host are validated.",
    "SEC-61": "Header and body agree, duplicates and mixed eras are refused.",
    "SEC-62": "JSON that readers may understand differently is refused.",
    "SEC-63": "The judged bytes are the forwarded bytes.",
    "SEC-64": "Bodies, headers, events and streams have limits.",
    "SEC-65": "Every decision is audited with all that it rested on.",
}
# Rows without a test, each with its reason. Whoever writes the test takes the row out of here.
_DEFERRED: dict[str, str] = {}


def manifest() -> dict[str, Requirement]:
    """Return every row by its id."""
    rows = {
        row: Requirement(source=source, behaviour=behaviour, deferral=_DEFERRED.get(row))
        for source, behaviours in (
            ("requirements of the product", _PRODUCT),
            ("MCP specification and security practice", _PROTOCOL),
        )
        for row, behaviour in behaviours.items()
    }
    unknown = _DEFERRED.keys() - rows.keys()
    if unknown:
        raise ValueError(f"deferred, but no row: {sorted(unknown)}")
    return rows

"""What must agree between settings: names that refer to each other, and safe combinations.

Each check names both places. What is merely unwise becomes a warning.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

from safeconduct.core.authorities import fault_of_authorities
from safeconduct.core.binding import OPEN, variables_of
from safeconduct.core.emails import takes_mail
from safeconduct.core.http_request import faults
from safeconduct.core.machines import is_this_machine
from safeconduct.settings import forms
from safeconduct.settings.apis import HttpSettings, HttpToolSettings
from safeconduct.settings.git import GitSettings
from safeconduct.settings.model import (
    SettingsFile,
)
from safeconduct.settings.problems import Mark, Problems, join, quoted, suggestion
from safeconduct.settings.process import (
    EgressSettings,
    Limits,
    MailSettings,
    OpaSettings,
    RelationsSettings,
    ServerSettings,
)
from safeconduct.settings.tenants import (
    AccessSettings,
    ClientDocument,
    ClientSettings,
    HostSettings,
    OperatorSettings,
    PolicySettings,
    UpstreamSettings,
    UriBindingSettings,
)

_CLEARTEXT = "plain http: whoever is on the way to this server can read and change calls"


class Checks:
    """Runs over a whole document.

    Attributes:
        warnings: What the person who starts the gateway should know.
    """

    def __init__(self, *, problems: Problems, places: dict[str, Mark]) -> None:
        self._problems = problems
        self._places = places
        self.warnings: list[str] = []

    def run(self, document: SettingsFile) -> None:
        """Check everything; problems are noted, not raised."""
        hosts = document.hosts
        self._authorities(document.server.egress)
        self._mail(document.server.mail)
        self._relations(document.server.relations)
        self._opa(document.server.opa)
        self._shares(document.server.limits)
        self._unused(document)
        self._distinct("hosts[{}].key", [host.key for host in hosts])
        self._distinct("hosts[{}].origin", [host.origin for host in hosts])
        if not hosts:
            self.warnings.append("hosts: there are none, so every request is refused")
        for index, host in enumerate(hosts):
            self._host(f"hosts[{index}]", host, document.server)

    def _host(self, path: str, host: HostSettings, server: ServerSettings) -> None:
        self._sign_in(path, host, server)
        for index, operator in enumerate(host.operators):
            self._operator(f"{path}.operators[{index}]", operator, path, host)
        self._distinct(path + ".people[{}].email", [person.email for person in host.people])
        self._distinct(path + ".operators[{}].email", [each.email for each in host.operators])
        self._distinct(path + ".servers[{}].key", [each.key for each in host.servers])
        self._distinct(path + ".relations[{}]", list(host.relations))
        for index, upstream in enumerate(host.servers):
            self._upstream(f"{path}.servers[{index}]", upstream, server)
        self._access(path, host)
        self._clients(path, host)
        self._points(path, host)
        self._lives(path, host)
        if host.policy is not None:
            self._policy(f"{path}.policy", host.policy, server)

    def _sign_in(self, path: str, host: HostSettings, server: ServerSettings) -> None:
        if host.sign_in.password is None:
            self._add(f"{path}.sign_in", "needs at least one method; write password: true")
            return
        if host.sign_in.password.sign_up and server.mail is None:
            self.warnings.append(
                f"{path}.sign_in.password.sign_up: needs server.mail, which is left out, so nobody "
                "can sign up"
            )
        least = host.sign_in.password.minimum_length
        given = {f"{path}.people[{i}]": each.password for i, each in enumerate(host.people)}
        given |= {f"{path}.operators[{i}]": each.password for i, each in enumerate(host.operators)}
        for place, password in given.items():
            if password is not None and not forms.is_password(password.reveal()):
                most = forms.LONGEST_PASSWORD_BYTES
                self._add(f"{place}.password", f"must have at most {most} bytes")
            elif password is not None and len(password.reveal()) < least:
                self.warnings.append(
                    f"{place}.password: shorter than the {least} characters "
                    f"of {path}.sign_in.password.minimum_length"
                )

    def _operator(
        self, path: str, operator: OperatorSettings, host_path: str, host: HostSettings
    ) -> None:
        for index, person in enumerate(host.people):
            if person.email == operator.email and person.password is not None:
                if operator.password is not None:
                    other = self._where(f"{host_path}.people[{index}].password")
                    self._add(f"{path}.password", f"this email has a password already at {other}")
                return
        if operator.password is None:
            self._add(path, "an operator needs a password: {env: NAME} or {file: PATH}")

    def _upstream(self, path: str, upstream: UpstreamSettings, server: ServerSettings) -> None:
        if upstream.url is not None and upstream.http is None:
            self._address(f"{path}.url", upstream.url, server)
        elif upstream.http is not None and upstream.url is None:
            self._address(f"{path}.http.base", upstream.http.base, server)
            self._api(f"{path}.http", upstream.http)
        else:
            said = "must have url (an MCP endpoint) or http (a plain HTTP API), and not both"
            self._add(path, said)
        imports = () if isinstance(upstream.imports, str) else upstream.imports
        if upstream.imports == "strict" and (upstream.http is None or not upstream.http.openapi):
            said = "strict is for http.openapi; what of an MCP server cannot be read is left out"
            self._add(f"{path}.import", f"{said}, and named by servers show")
        if upstream.http is not None and upstream.http.openapi is None:
            declared = [tool.name for tool in upstream.http.tools]
            for member, names in (("import", imports), ("tools", upstream.tools)):
                for name in names:
                    self._known(f"{path}.{member}", name, declared, f"{path}.http.tools")
        for index, resource in enumerate(upstream.resources):
            self._resource(f"{path}.resources[{index}]", resource)
        if not isinstance(upstream.imports, str):
            self._distinct(path + ".import[{}]", list(upstream.imports))
            for tool in upstream.tools:
                self._known(f"{path}.tools", tool, upstream.imports, f"{path}.import")

    def _resource(self, path: str, resource: UriBindingSettings) -> None:
        if resource.permission == OPEN:
            if resource.object is not None:
                self._add(f"{path}.object", "nothing is asked with permission none; leave it out")
        elif resource.object is None:
            self._add(path, "needs object, or permission: none")
        else:
            known = variables_of(resource.uri)
            for name in sorted(variables_of(resource.object) - known):
                near = suggestion(name, known)
                self._add(f"{path}.object", f"{{{name}}} is no part of {resource.uri}{near}")

    def _address(self, path: str, url: str, server: ServerSettings) -> None:
        loopback = forms.is_loopback(url)
        if loopback and not server.allow_loopback_upstreams:
            self._add(
                path,
                "is on this machine, and server.allow_loopback_upstreams is off"
                f"{self._beside('server.allow_loopback_upstreams')}",
            )
        elif forms.is_private(url) and not (loopback or server.allow_private_upstreams):
            self._add(
                path,
                "is a private address, and server.allow_private_upstreams is off"
                f"{self._beside('server.allow_private_upstreams')}",
            )
        if url.lower().startswith("http:") and not loopback:
            self.warnings.append(f"{path}: {_CLEARTEXT}")

    def _api(self, path: str, api: HttpSettings) -> None:
        seen: dict[str, str] = {}
        for written, secret in api.headers.items():
            place = join(f"{path}.headers", written)
            try:
                name = forms.sent_header(written)
            except ValueError as error:
                self._add(place, str(error))
                continue
            if name in seen:
                self._add(place, f"repeats {self._where(seen[name])}")
            seen.setdefault(name, place)
            if not forms.is_header_value(secret.reveal()):
                self._add(place, "holds a character that a header cannot carry")
        if not api.tools and api.openapi is None:
            self._add(path, "declares nothing; name an openapi document, or tools")
        if api.openapi is not None and not _is_there(api.openapi.is_file):
            self._add(f"{path}.openapi", "there is no such file beside this file")
        self._distinct(path + ".tools[{}].name", [tool.name for tool in api.tools])
        for index, tool in enumerate(api.tools):
            self._http_tool(f"{path}.tools[{index}]", tool)

    def _http_tool(self, path: str, tool: HttpToolSettings) -> None:
        request, schema = tool.declared()
        for fault in faults(request, schema):
            member = "request" if fault.member == "path" else fault.member
            near = suggestion(fault.name, fault.known) if fault.name else ""
            self._add(f"{path}.{member}", fault.sentence + near)
        if tool.body == "all" and not request.body:
            self._add(f"{path}.body", "all is nothing: input has no argument left for it")

    def _access(self, path: str, host: HostSettings) -> None:
        groups = {group for person in host.people for group in person.groups}
        for index, access in enumerate(host.access):
            place = f"{path}.access[{index}]"
            self._known(
                f"{place}.server", access.server, [s.key for s in host.servers], f"{path}.servers"
            )
            if (access.person is None) == (access.group is None):
                self._add(place, "must name a person or a group, and not both")
            elif access.person is not None:
                people = [person.email for person in host.people]
                if access.person not in people:
                    # No suggestion: the nearest name is somebody else.
                    where = self._where(f"{path}.people")
                    self._add(f"{place}.person", f"{quoted(access.person)} is not in {where}")
            elif access.group not in groups:
                self.warnings.append(f"{place}.group: nobody in {path}.people is in this group")
        self._distinct(path + ".access[{}]", [_whose(access) for access in host.access])

    def _clients(self, path: str, host: HostSettings) -> None:
        self._distinct(path + ".clients[{}].id", [client.id for client in host.clients])
        for index, client in enumerate(host.clients):
            self._client(f"{path}.clients[{index}]", client, path, host)
        documents = host.client_documents
        for index, each in enumerate(documents.add):
            self._document(f"{path}.client_documents.add[{index}].document", each)
        ids = [str(each.document.get("client_id")) for each in documents.add]
        self._distinct(path + ".client_documents.add[{}].document", ids)
        for index, identity in enumerate(ids):
            if identity in documents.drop:
                place = f"{path}.client_documents.add[{index}].document"
                self._add(place, f"is also in {path}.client_documents.drop")
        if not (documents.fetch or documents.pinned or documents.add):
            self.warnings.append(
                f"{path}.client_documents: nothing can be resolved, so metadata documents are "
                "not offered to clients"
            )

    def _client(
        self, path: str, client: ClientSettings, host_path: str, host: HostSettings
    ) -> None:
        if not client.redirect_uris:
            self._add(f"{path}.redirect_uris", "needs at least one URI")
        for index, uri in enumerate(client.redirect_uris):
            if forms.is_private_scheme(uri) and not host.private_schemes:
                self._add(
                    f"{path}.redirect_uris[{index}]",
                    f"has an app's own scheme, and {host_path}.private_schemes is off"
                    f"{self._beside(f'{host_path}.private_schemes')}",
                )

    def _points(self, path: str, host: HostSettings) -> None:
        points = host.enforcement_points
        self._distinct(path + ".enforcement_points[{}].id", [each.id for each in points])
        secrets = [each.secret.reveal() for each in points]
        self._distinct(path + ".enforcement_points[{}].secret", secrets)
        for index, secret in enumerate(secrets):
            if not forms.is_strong(secret):
                self._add(
                    f"{path}.enforcement_points[{index}].secret",
                    "must have 20 to 256 characters of printable ASCII, and no space",
                )
            elif "%" in secret or "+" in secret:
                self.warnings.append(
                    f"{path}.enforcement_points[{index}].secret: holds '%' or '+', which HTTP "
                    "Basic carries form-encoded here (RFC 6749 section 2.3.1); programs that send "
                    "it as it is, such as curl -u, are refused"
                )

    def _document(self, path: str, value: ClientDocument) -> None:
        identity, uris = value.document.get("client_id"), value.document.get("redirect_uris")
        try:
            forms.document_url(identity if isinstance(identity, str) else "")
        except ValueError as error:
            self._add(f"{path}.client_id", str(error))
        if not isinstance(uris, list) or not uris:
            self._add(f"{path}.redirect_uris", "must be a list of at least one URI")
            return
        for index, uri in enumerate(uris):
            try:
                forms.redirect_uri(uri if isinstance(uri, str) else "")
            except ValueError as error:
                self._add(f"{path}.redirect_uris[{index}]", str(error))

    def _lives(self, path: str, host: HostSettings) -> None:
        if host.sessions.idle_days > host.sessions.absolute_days:
            self._add(
                f"{path}.sessions.idle_days",
                f"must be at most {path}.sessions.absolute_days ({host.sessions.absolute_days})",
            )

    def _policy(self, path: str, policy: PolicySettings, server: ServerSettings) -> None:
        if policy.directory is not None and policy.git is not None:
            self._add(path, "must name a directory or a git repository, and not both")
        if policy.by == "api":
            self._by_api(path, policy)
        elif policy.directory is None and policy.git is None:
            if policy.off:
                self._add(f"{path}.off", "needs a directory or a git repository that has the files")
            elif policy.engine == "embedded":
                said = "says nothing; name a directory, a git repository, by: api or an engine"
                self._add(path, said)
        self._distinct(f"{path}.off[{{}}]", list(policy.off))
        if policy.engine == "opa" and server.opa is None:
            self._add(f"{path}.engine", "opa needs server.opa, which says where the servers are")
        if policy.directory is not None and not _is_there(policy.directory.is_dir):
            self._add(f"{path}.directory", "there is no such directory beside this file")
        if policy.git is not None:
            self._git(path, policy.git, server)

    def _git(self, path: str, git: GitSettings, server: ServerSettings) -> None:
        scheme = git.url.partition("://")[0]
        if scheme in {"file", "http"} and not server.allow_loopback_upstreams:
            self._add(
                f"{path}.git.url",
                f"{scheme}:// needs server.allow_loopback_upstreams, which is off"
                f"{self._beside('server.allow_loopback_upstreams')}",
            )
        if git.token is not None and scheme != "https":
            self._add(f"{path}.git.token", "is sent over https only")
        elif git.token is not None and not forms.is_header_value(git.token.reveal()):
            self._add(f"{path}.git.token", "holds a character that a header cannot carry")

    def _by_api(self, path: str, policy: PolicySettings) -> None:
        for name in ("directory", "git"):
            if getattr(policy, name) is not None:
                self._add(
                    f"{path}.by",
                    f"api and {path}.{name}{self._beside(f'{path}.{name}')} both say where rules "
                    "come from; keep one of them",
                )
        if policy.off:
            said = "is for files that are read; by: api leaves a file out by not sending it"
            self._add(f"{path}.off", said)

    def _opa(self, opa: OpaSettings | None) -> None:
        if opa is None:
            return
        if not opa.urls:
            self._add("server.opa.urls", "needs at least one URL")
        self._distinct("server.opa.urls[{}]", list(opa.urls))
        for index, url in enumerate(opa.urls):
            if "?" in url:
                self._add(f"server.opa.urls[{index}]", "must have no query ('?')")
        if opa.token is not None and not forms.is_header_value(opa.token.reveal()):
            self._add("server.opa.token", "holds a character that a header cannot carry")

    def _authorities(self, egress: EgressSettings) -> None:
        if egress.ca_file is None:
            return
        fault = fault_of_authorities(egress.ca_file)
        if fault:
            self._add("server.egress.ca_file", fault)

    def _mail(self, mail: MailSettings | None) -> None:
        if mail is None:
            return
        if mail.password is not None and not mail.username:
            self._add("server.mail.password", "needs server.mail.username beside it")
        elif mail.username and mail.password is None:
            self._add("server.mail.username", "needs server.mail.password beside it")
        if not takes_mail(mail.sender):
            self._add("server.mail.sender", "must be written in ASCII; write names as xn--…")
        if mail.security == "none" and not is_this_machine(mail.host):
            self._add(
                "server.mail.security",
                "none is for a mail server on this machine (localhost, 127.0.0.1); mail, with the "
                "links in it, would go over the network in the clear",
            )
        if mail.password is not None and mail.security == "none":
            self._add("server.mail.security", "none would send server.mail.password in the clear")

    def _relations(self, relations: RelationsSettings) -> None:
        place = "server.relations"
        for name in ("target", "token"):
            given = getattr(relations, name) is not None
            if relations.engine == "spicedb" and not given:
                self._add(f"{place}.engine", f"spicedb needs {place}.{name} beside it")
            elif relations.engine == "embedded" and given:
                self._add(f"{place}.{name}", f"needs {place}.engine: spicedb beside it")
        token = relations.token
        if token is not None and not forms.is_header_value(token.reveal()):
            self._add(f"{place}.token", "holds a character that a header cannot carry")
        if relations.plaintext and not forms.is_loopback(f"https://{relations.target}"):
            self._add(
                f"{place}.plaintext",
                f"would send {place}.token in the clear; it is for a target on this machine",
            )

    def _shares(self, limits: Limits) -> None:
        """Refuse a part that is larger than the whole, and so says nothing."""
        for kind in ("upstream_calls", "upstream_streams"):
            names = (f"{kind}_per_person", f"{kind}_per_host", kind)
            for part, whole in itertools.pairwise(names):
                most = getattr(limits, whole)
                if getattr(limits, part) > most:
                    self._add(
                        f"server.limits.{part}", f"is more than server.limits.{whole}, {most}"
                    )

    def _unused(self, document: SettingsFile) -> None:
        """Warn of what says something that nothing asks for."""
        server = document.server
        if server.egress.no_proxy and server.egress.proxy is None:
            self.warnings.append(
                "server.egress.no_proxy: needs server.egress.proxy, which is left out, so "
                "everything is reached directly"
            )
        engines = {host.policy.engine for host in document.hosts if host.policy is not None}
        if server.opa is not None and "opa" not in engines:
            self.warnings.append(
                "server.opa: no host has policy.engine: opa, so these servers are not asked"
            )
        for index, host in enumerate(document.hosts):
            if host.client_documents.allow_hosts and not host.client_documents.fetch:
                self.warnings.append(
                    f"hosts[{index}].client_documents.allow_hosts: fetch is off, so nothing is "
                    "fetched from them"
                )
            for number, upstream in enumerate(host.servers):
                self._unused_of(f"hosts[{index}].servers[{number}]", upstream)

    def _unused_of(self, path: str, upstream: UpstreamSettings) -> None:
        if upstream.http is not None and upstream.resources:
            said = "an HTTP API has tools alone, so nothing is asked about resources"
            self.warnings.append(f"{path}.resources: {said}")
        if upstream.imports == ():
            self.warnings.append(f"{path}.import: the list is empty, so no tool is taken over")

    def _distinct(self, pattern: str, values: list[str]) -> None:
        first: dict[str, int] = {}
        for index, value in enumerate(values):
            if value in first:
                other = self._where(pattern.format(first[value]))
                self._add(pattern.format(index), f"repeats {other}")
            first.setdefault(value, index)

    def _known(self, path: str, name: str, known: Iterable[str], among: str) -> None:
        names = list(known)
        if name not in names:
            near = suggestion(name, names)
            self._add(path, f"{quoted(name)} is not in {among}{self._beside(among)}{near}")

    def _add(self, path: str, message: str) -> None:
        self._problems.add(path, self._place(path), message)

    def _where(self, path: str) -> str:
        return f"{path}{self._beside(path)}"

    def _beside(self, path: str) -> str:
        mark = self._places.get(path)
        if mark is None:
            return ""
        return f" (line {mark.line})" if mark.line else f" ({mark.variable})"

    def _place(self, path: str) -> Mark:
        """Find a setting, or the nearest one around it when it was left out."""
        while path and path not in self._places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self._places.get(path, Mark(line=1, column=1))


def _whose(access: AccessSettings) -> str:
    return f"{access.person}\n{access.group}\n{access.server}"


def _is_there(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except OSError:  # a path that is too long
        return False

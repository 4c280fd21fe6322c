"""A plain HTTP API as a server: the values of `hosts[].servers[].http`."""

# Annotations are evaluated here: the reader and the documentation are driven by them.

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import field

from safeconduct.core.http_request import HttpRequest, variables
from safeconduct.core.model import Value
from safeconduct.core.secrets import Secret
from safeconduct.settings.marks import About
from safeconduct.settings.spellings import ApiBase, Name, RequestLine, ToolName


class HttpToolSettings(Value, frozen=True):
    """A tool that is one request to the API; each argument has exactly one place in it."""

    name: Annotated[ToolName, About(text="The tool's name, as agents see it.")]
    request: Annotated[
        RequestLine,
        About(text="`GET /repos/{owner}/issues`; what stands in braces is an argument."),
    ]
    title: Annotated[str, About(text="A name for people.")] = ""
    description: Annotated[str, About(text="What the tool does, for the model.")] = ""
    query: Annotated[tuple[Name, ...], About(text="Arguments that go into the query.")] = ()
    body: Annotated[
        Literal["all"] | tuple[Name, ...],
        About(text="Arguments that are members of a JSON body; `all` is those left over."),
    ] = ()
    input: Annotated[
        dict[str, Any],
        About(
            text="JSON schema of the arguments, an object.",
            default="every argument, the path's required",
        ),
    ] = field(default_factory=dict)

    def declared(self) -> tuple[HttpRequest, dict[str, Any]]:
        """Return the request, and the schema of its arguments; whether they agree is not said."""
        method, _, path = self.request.partition(" ")
        schema = self.input or self._plain_input(path)
        properties, required = schema.get("properties"), schema.get("required")
        body = self.body
        if body == "all":
            placed = {*variables(path), *self.query}
            body = tuple(each for each in _names(properties) if each not in placed)
        request = HttpRequest(
            method=method,
            path=path,
            query=self.query,
            body=body,
            bodied=bool(body),
            required=tuple(required) if isinstance(required, list) else (),
        )
        return request, schema

    def _plain_input(self, path: str) -> dict[str, Any]:
        named = variables(path)
        properties: dict[str, Any] = {each: {"type": "string"} for each in (*named, *self.query)}
        if self.body != "all":
            properties |= {each: {} for each in self.body}
        return {"type": "object", "properties": properties, "required": named}


def _names(properties: Any) -> list[str]:
    return list(properties) if isinstance(properties, dict) else []


class HttpSettings(Value, frozen=True):
    """A plain HTTP API. It need not know MCP: its tools are declared here."""

    base: Annotated[ApiBase, About(text="What the tools' paths follow.")]
    headers: Annotated[
        dict[str, Secret],
        About(text="Headers sent with every request, such as `authorization`; each is a secret."),
    ] = field(default_factory=dict)
    openapi: Annotated[
        Path | None,
        About(text="OpenAPI 3.0 or 3.1 document, JSON or YAML; each operation is a tool."),
    ] = None
    tools: Annotated[tuple[HttpToolSettings, ...], About(text="Tools declared by hand.")] = ()

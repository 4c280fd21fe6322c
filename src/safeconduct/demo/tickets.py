"""The demo's issue tracker: `python -m safeconduct.demo.tickets --port 0 --data DIR`.

Issues T-1 to T-12 of an invented maker of warehouse robots. No `annotations` import from
`__future__` here: the tools' signatures are read at run time to make their schemas.
"""

from typing import Annotated, Any, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from safeconduct.demo.serving import new_server, run
from safeconduct.demo.store import Store

Status = Literal["open", "in_progress", "closed"]
Priority = Literal["low", "normal", "high", "urgent"]
Key = Annotated[str, Field(pattern=r"^T-[1-9][0-9]*$", description="The issue's key, like T-7")]
Text = Annotated[str, Field(min_length=1, max_length=4000)]

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
_DESTROYS = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)


class Issue(BaseModel):
    key: str
    title: str
    project: str
    status: Status
    priority: Priority
    assignee: str | None
    updated: str


class IssueInFull(Issue):
    body: str
    comments: list[str]


class Tracker:
    """The issues in a store; each public method is a tool, its docstring the description."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list_issues(
        self,
        status: Status | None = None,
        project: str | None = None,
        assignee: str | None = None,
    ) -> list[Issue]:
        """List issues, newest change first, optionally of one status, project or assignee."""
        rows = self._store.rows(
            "SELECT * FROM issues WHERE status = coalesce(?, status) AND project = "
            "coalesce(?, project) AND (? IS NULL OR assignee = ?) ORDER BY updated DESC",
            *(status, project, assignee, assignee),
        )
        return [Issue.model_validate(row) for row in rows]

    def get_issue(self, key: Key) -> IssueInFull:
        """Read one issue with its description and comments."""
        return self.find(key)

    def search_issues(self, query: Text) -> list[Issue]:
        """Find issues whose title or description contains the text, in any case."""
        rows = self._store.rows(
            "SELECT * FROM issues WHERE instr(lower(title || ' ' || body), lower(?)) ORDER BY key",
            query,
        )
        return [Issue.model_validate(row) for row in rows]

    def create_issue(
        self, title: Text, project: Text, body: str = "", priority: Priority = "normal"
    ) -> IssueInFull:
        """Open a new issue in a project and return it with its key."""
        made = self._store.rows(
            "INSERT INTO issues (title, body, project, status, priority, assignee, updated) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING key",
            *(title, body, project, "open", priority, None, self._store.now()),
        )
        return self.find(made[0]["key"])

    def update_issue(
        self,
        key: Key,
        title: Text | None = None,
        status: Status | None = None,
        priority: Priority | None = None,
        assignee: str | None = None,
    ) -> IssueInFull:
        """Change an issue's title, status, priority or assignee; what is left out stays."""
        self._change(
            "UPDATE issues SET title = coalesce(?, title), status = coalesce(?, status), priority ="
            " coalesce(?, priority), assignee = coalesce(?, assignee), updated = ? WHERE key = ?",
            *(title, status, priority, assignee, self._store.now(), key),
        )
        return self.find(key)

    def add_comment(self, key: Key, body: Text) -> IssueInFull:
        """Add a comment to an issue."""
        self._change(
            "INSERT INTO comments SELECT number, ?, ? FROM issues WHERE key = ?",
            *(body, self._store.now(), key),
        )
        return self.find(key)

    def delete_issue(self, key: Key) -> str:
        """Delete an issue and its comments for good. This cannot be undone."""
        self._change("DELETE FROM issues WHERE key = ?", key)
        return f"{key} is deleted."

    def find(self, key: str) -> IssueInFull:
        rows = self._store.rows("SELECT * FROM issues WHERE key = ?", key)
        if not rows:
            raise ToolError(f"There is no issue {key}.")
        said = self._store.rows(
            "SELECT body FROM comments WHERE issue = ? ORDER BY at", rows[0]["number"]
        )
        return IssueInFull.model_validate({**rows[0], "comments": [row["body"] for row in said]})

    def _change(self, statement: str, *values: object) -> None:
        if not self._store.change(statement, *values):
            raise ToolError(f"There is no issue {values[-1]}.")


def build(store: Store) -> MCPServer[Any]:
    """Make the server over a store."""
    server = new_server(
        "tickets",
        title="Tickets",
        instructions="Issues of Acme Robotics. Search before you create.",
        store=store,
    )
    tracker = Tracker(store)
    server.add_tool(tracker.list_issues, annotations=_READS)
    server.add_tool(tracker.get_issue, annotations=_READS)
    server.add_tool(tracker.search_issues, annotations=_READS)
    server.add_tool(tracker.create_issue, annotations=_WRITES)
    server.add_tool(tracker.update_issue, annotations=_WRITES)
    server.add_tool(tracker.add_comment, annotations=_WRITES)
    server.add_tool(tracker.delete_issue, annotations=_DESTROYS)

    @server.resource("tickets://issues/{key}", mime_type="application/json")
    def issue(key: str) -> str:
        """Read one issue with its comments, as JSON."""
        try:
            return tracker.find(key).model_dump_json()
        except ToolError as error:
            raise ResourceNotFoundError(str(error)) from error

    @server.prompt()
    def triage(project: str) -> str:
        """Ask for a triage of a project's open issues."""
        return f"List the open issues of project {project}, most urgent first, and say why."

    return server


if __name__ == "__main__":
    run("tickets", build)

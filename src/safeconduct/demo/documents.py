"""The demo's document store: `python -m safeconduct.demo.documents --port 0 --data DIR`.

Folders and documents of an invented maker of warehouse robots. No `annotations` import from
`__future__` here: the tools' signatures are read at run time to make their schemas.
"""

from typing import Annotated, Any, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from safeconduct.demo.serving import new_server, run
from safeconduct.demo.store import Store

DocumentPath = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9-]+(/[a-z0-9.-]+)+$",
        max_length=200,
        description="Folder and name, like security/incident-plan.md",
    ),
]
Text = Annotated[str, Field(min_length=1, max_length=100_000)]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=200)]

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_DESTROYS = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)


class Entry(BaseModel):
    path: str
    updated: str


class Document(Entry):
    text: str
    shared_with: dict[str, str]


class Shelf:
    """The documents in a store; each public method is a tool, its docstring the description."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list_documents(self, folder: str | None = None) -> list[Entry]:
        """List documents by path, of one folder or of all."""
        rows = self._store.rows(
            "SELECT path, updated FROM documents "
            "WHERE ? IS NULL OR substr(path, 1, length(?) + 1) = ? || '/' ORDER BY path",
            *(folder, folder, folder),
        )
        return [Entry.model_validate(row) for row in rows]

    def read_document(self, path: DocumentPath) -> Document:
        """Read a document's text and with whom it is shared."""
        return self.find(path)

    def search_documents(self, query: Text) -> list[Entry]:
        """Find documents whose path or text contains the words, in any case."""
        rows = self._store.rows(
            "SELECT path, updated FROM documents "
            "WHERE instr(lower(path || ' ' || text), lower(?)) ORDER BY path",
            query,
        )
        return [Entry.model_validate(row) for row in rows]

    def write_document(self, path: DocumentPath, text: Text) -> Document:
        """Create a document, or replace the text of an existing one."""
        self._store.change(
            "INSERT INTO documents VALUES (?, ?, ?) "
            "ON CONFLICT (path) DO UPDATE SET text = excluded.text, updated = excluded.updated",
            *(path, text, self._store.now()),
        )
        return self.find(path)

    def share_document(
        self, path: DocumentPath, person: Email, role: Literal["viewer", "editor"] = "viewer"
    ) -> Document:
        """Give a person access to a document, as viewer or editor."""
        self.find(path)
        self._store.change("INSERT OR REPLACE INTO shares VALUES (?, ?, ?)", path, person, role)
        return self.find(path)

    def delete_document(self, path: DocumentPath) -> str:
        """Delete a document for good, with all its shares. This cannot be undone."""
        if not self._store.change("DELETE FROM documents WHERE path = ?", path):
            raise ToolError(f"There is no document {path}.")
        return f"{path} is deleted."

    def find(self, path: str) -> Document:
        rows = self._store.rows("SELECT * FROM documents WHERE path = ?", path)
        if not rows:
            raise ToolError(f"There is no document {path}.")
        shares = self._store.rows("SELECT person, role FROM shares WHERE path = ?", path)
        shared_with = {row["person"]: row["role"] for row in shares}
        return Document.model_validate({**rows[0], "shared_with": shared_with})


def build(store: Store) -> MCPServer[Any]:
    """Make the server over a store."""
    server = new_server(
        "documents",
        title="Documents",
        instructions="Documents of Acme Robotics, in folders. Paths are lower case.",
        store=store,
    )
    shelf = Shelf(store)
    server.add_tool(shelf.list_documents, annotations=_READS)
    server.add_tool(shelf.read_document, annotations=_READS)
    server.add_tool(shelf.search_documents, annotations=_READS)
    server.add_tool(shelf.write_document, annotations=_WRITES)
    server.add_tool(shelf.share_document, annotations=_WRITES)
    server.add_tool(shelf.delete_document, annotations=_DESTROYS)

    @server.resource("documents://files/{+path}", mime_type="text/markdown")
    def document(path: str) -> str:
        """Read the text of one document."""
        try:
            return shelf.find(path).text
        except ToolError as error:
            raise ResourceNotFoundError(str(error)) from error

    @server.prompt()
    def summarise(path: str) -> str:
        """Ask for a summary of one document."""
        return f"Read the document {path} and sum it up in five sentences for a busy colleague."

    return server


if __name__ == "__main__":
    run("documents", build)

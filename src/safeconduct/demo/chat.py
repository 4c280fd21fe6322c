"""The demo's chat: `python -m safeconduct.demo.chat --port 0 --data DIR`.

Channels and messages of an invented maker of warehouse robots. No `annotations` import from
`__future__` here: the tools' signatures are read at run time to make their schemas.
"""

from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from safeconduct.demo.serving import new_server, run
from safeconduct.demo.store import Store

Channel = Annotated[
    str,
    Field(pattern=r"^#?[a-z0-9-]{1,40}$", description="The channel's name, with or without #"),
]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
Limit = Annotated[int, Field(ge=1, le=100, description="At most this many, newest first")]

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
_DESTROYS = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)


class ChannelInfo(BaseModel):
    name: str
    topic: str
    messages: int


class Message(BaseModel):
    channel: str
    author: str
    text: str
    at: str


class Rooms:
    """The channels in a store; each public method is a tool, its docstring the description."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list_channels(self) -> list[ChannelInfo]:
        """List the channels with their topics and how many messages each holds."""
        rows = self._store.rows(
            "SELECT name, topic, (SELECT count(*) FROM messages WHERE channel = name) AS messages "
            "FROM channels ORDER BY name"
        )
        return [ChannelInfo.model_validate(row) for row in rows]

    def read_messages(self, channel: Channel, limit: Limit = 20) -> list[Message]:
        """Read the newest messages of a channel."""
        name = self._existing(channel)
        rows = self._store.rows(
            "SELECT * FROM messages WHERE channel = ? ORDER BY id DESC LIMIT ?", name, limit
        )
        return [Message.model_validate(row) for row in rows]

    def search_messages(self, query: Text, limit: Limit = 20) -> list[Message]:
        """Find messages in all channels that contain the text, in any case."""
        rows = self._store.rows(
            "SELECT * FROM messages WHERE instr(lower(text), lower(?)) ORDER BY id DESC LIMIT ?",
            *(query, limit),
        )
        return [Message.model_validate(row) for row in rows]

    def post_message(self, channel: Channel, text: Text) -> Message:
        """Post a message to a channel, where everybody in it can read it."""
        name = self._existing(channel)
        self._store.change(
            "INSERT INTO messages (channel, author, text, at) VALUES (?, ?, ?, ?)",
            *(name, "assistant", text, self._store.now()),
        )
        return self.read_messages(name, limit=1)[0]

    def delete_channel(self, channel: Channel) -> str:
        """Delete a channel with every message in it. This cannot be undone."""
        name = self._existing(channel)
        self._store.change("DELETE FROM channels WHERE name = ?", name)
        return f"#{name} is deleted."

    def _existing(self, channel: str) -> str:
        name = channel.removeprefix("#")
        if not self._store.rows("SELECT 1 FROM channels WHERE name = ?", name):
            raise ToolError(f"There is no channel #{name}.")
        return name


def build(store: Store) -> MCPServer[Any]:
    """Make the server over a store."""
    server = new_server(
        "chat",
        title="Chat",
        instructions="Team chat of Acme Robotics. What you post, everybody in the channel reads.",
        store=store,
    )
    rooms = Rooms(store)
    server.add_tool(rooms.list_channels, annotations=_READS)
    server.add_tool(rooms.read_messages, annotations=_READS)
    server.add_tool(rooms.search_messages, annotations=_READS)
    server.add_tool(rooms.post_message, annotations=_WRITES)
    server.add_tool(rooms.delete_channel, annotations=_DESTROYS)

    @server.resource("chat://channels/{name}", mime_type="text/plain")
    def channel(name: str) -> str:
        """Read the newest messages of one channel as a transcript, oldest first."""
        try:
            newest = rooms.read_messages(name, limit=100)
        except ToolError as error:
            raise ResourceNotFoundError(str(error)) from error
        return "\n".join(f"{said.at} {said.author}: {said.text}" for said in reversed(newest))

    @server.prompt()
    def catch_up(name: str) -> str:
        """Ask what happened in a channel."""
        return f"Read the newest messages of #{name} and tell me what I need to know."

    return server


if __name__ == "__main__":
    run("chat", build)

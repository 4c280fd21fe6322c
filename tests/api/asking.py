"""An enforcement point, as tests play it, and the questions it asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from tests.road.world import ACME, World

SECRET, SECOND, FOREIGN = "s" * 20, "t" * 20, "u" * 20
ALICE = {"type": "user", "id": "alice@acme.test"}
AGENT = {"agent": "agent"}
SCHEMA = """
definition team {
    relation member: person | team#member
}
definition folder {
    relation owner: person | team#member
}
definition ticket {
    relation assignee: person
    relation watcher: person | team#member | agent | person:* | group#member
    relation banned: person
    relation folder: folder
    permission edit = assignee + folder->owner
    permission view = (edit + watcher) - banned
}
"""


def points(
    directory: Path,
    *,
    relations: dict[str, str] | None = None,
    policy: dict[str, str] | None = None,
    tools: dict[str, str] | None = None,
    **secrets: str,
) -> dict[str, Any]:
    """Configure enforcement points of a host, each with its secret in a file.

    Args:
        relations: What some of them may do with relations, by their names.
        policy: What some of them may do with rules, likewise.
        tools: What some of them may do with what servers offer, likewise.
    """
    listed = []
    for name, secret in secrets.items():
        path = directory / f"{name}.secret"
        path.write_text(secret)
        path.chmod(0o600)
        may = {
            "relations": (relations or {}).get(name, "none"),
            "policy": (policy or {}).get(name, "none"),
            "tools": (tools or {}).get(name, "none"),
        }
        listed.append({"id": name, "secret": {"file": str(path)}, **may})
    return {"enforcement_points": listed}


def tool(name: str = "get_issue", server: str = "tickets") -> dict[str, str]:
    return {"type": "tool", "id": f"{server}/{name}"}


def question(
    subject: dict[str, Any] | None = None,
    action: str = "tools/call",
    resource: dict[str, Any] | None = None,
    **context: Any,
) -> dict[str, Any]:
    """Ask whether alice's agent may call a tool, or something like it."""
    return {
        "subject": subject or ALICE,
        "action": {"name": action},
        "resource": resource or tool(),
        "context": AGENT | context,
    }


def about(
    permission: str, ticket: str = "T-7", subject: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Ask about a permission on a ticket."""
    return {
        "subject": subject or ALICE,
        "action": {"name": permission},
        "resource": {"type": "ticket", "id": ticket},
    }


class Point:
    """Asks over HTTP."""

    def __init__(self, world: World, secret: str = SECRET, origin: str = ACME) -> None:
        self.world = world
        self._secret = secret
        self._origin = origin

    async def post(
        self, path: str, body: Any = None, *, content: bytes | None = None, **headers: str | None
    ) -> httpx2.Response:
        said: dict[str, str | None] = {
            "authorization": f"Bearer {self._secret}",
            "content-type": "application/json",
        }
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in said.items() if value is not None}
        url = f"{self._origin}/access/v1/{path}"
        if content is not None:
            return await self.world.http.post(url, content=content, headers=kept)
        return await self.world.http.post(url, json=body, headers=kept)

    async def said(self, path: str, body: Any) -> Any:
        answer = await self.post(path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def decides(self, body: Any) -> bool:
        decision: bool = (await self.said("evaluation", body))["decision"]
        return decision

    async def reason(self, body: Any) -> str:
        said = await self.said("evaluation", body)
        assert said["decision"] == (said["context"]["reason"] == "allowed")
        return str(said["context"]["reason"])

    async def batch(self, body: Any) -> list[bool]:
        return [each["decision"] for each in (await self.said("evaluations", body))["evaluations"]]

    async def pages(self, sought: str, body: dict[str, Any], limit: int = 2) -> list[list[str]]:
        """Follow a search to its end."""
        pages, token = [], ""
        while True:
            page = {"limit": limit} | ({"token": token} if token else {})
            said = await self.said(f"search/{sought}", body | {"page": page})
            assert said["page"]["count"] == len(said["results"]) <= limit
            pages.append([each.get("id") or each["name"] for each in said["results"]])
            token = said["page"]["next_token"]
            if not token:
                return pages

    async def found(self, sought: str, body: dict[str, Any], limit: int = 2) -> set[str]:
        pages = await self.pages(sought, body, limit)
        listed = [each for page in pages for each in page]
        assert listed == sorted(set(listed))
        return set(listed)

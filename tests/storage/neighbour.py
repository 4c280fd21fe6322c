"""Another worker: `python -m tests.storage.neighbour URL EPOCH KEY TEXT` writes one note."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from safeconduct.core.clock import ManualClock
from safeconduct.storage import Database, Epoch, Feed
from tests.storage import notes


async def main(url: str, epoch: str, key: str, text: str) -> None:
    feed = Feed(Epoch(Path(epoch)))
    database = Database(url, feed=feed, clock=ManualClock())
    await feed.start(database)
    async with database.write() as tx:
        await notes.put(tx, key, text)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

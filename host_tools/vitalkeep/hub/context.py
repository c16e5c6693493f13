"""What a job of the hub is given: the parts it may need, and a way to be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

from vitalkeep.errors import ToolError
from vitalkeep.hub.config.load import Config
from vitalkeep.hub.consume import Consumer
from vitalkeep.hub.cut import Verdict
from vitalkeep.hub.intake import Intake
from vitalkeep.hub.page import Feed
from vitalkeep.hub.store import Store
from vitalkeep.hub.timeserver import TimeServer
from vitalkeep.hub.tls import Watch
from vitalkeep.hub.ward import Ward
from vitalkeep.hub.worker import Worker
from vitalkeep.keys.vault import Vault

T = TypeVar("T")


@dataclass
class Context:
    """The parts of one running hub.

    config  what hub.toml says, section by section: `config[PageSettings]`
    started  when, by time.monotonic()
    worker  this hub among others, None where it is alone
    verdict whether the site is cut off
    stop    ends the hub when it is set; fault: the error with which it then ends
    shown   what /api/health says of a part, by the part's name
    """

    vault: Vault
    store: Store
    config: Config
    ward: Ward
    intake: Intake
    consumer: Consumer
    feed: Feed
    time: TimeServer
    worker: Worker | None = None
    verdict: Verdict = field(default_factory=Verdict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    fault: ToolError | None = None
    started: float = field(default_factory=monotonic)
    certificates: Watch = field(default_factory=Watch)
    shown: dict[str, Callable[[], Any]] = field(default_factory=dict)
    reader: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="reader")
    )

    async def read(self, work: Callable[[], T]) -> T:
        """Run what waits for the store on the thread for readers; raises what `work` raises."""
        return await asyncio.get_running_loop().run_in_executor(self.reader, work)

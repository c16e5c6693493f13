"""What a job of the hub is given: the parts it may need, and a way to be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

from vitalkeep.errors import ToolError
from vitalkeep.hub.cards import Cards
from vitalkeep.hub.config.load import Config
from vitalkeep.hub.consume import Consumer
from vitalkeep.hub.cut import Verdict
from vitalkeep.hub.forecast import Room
from vitalkeep.hub.intake import Intake
from vitalkeep.hub.load import Load, LoadSettings
from vitalkeep.hub.meters import Meters
from vitalkeep.hub.outages import Outages
from vitalkeep.hub.page import Feed
from vitalkeep.hub.store import Store
from vitalkeep.hub.timeserver import TimeServer
from vitalkeep.hub.tls import Watch
from vitalkeep.hub.ward import Ward
from vitalkeep.hub.worker import Worker
from vitalkeep.keys.vault import Vault

T = TypeVar("T")

_CALM_S = 0.5


@dataclass
class Context:
    """The parts of one running hub.

    config  what hub.toml says, section by section: `config[PageSettings]`
    started  when, by time.monotonic()
    cards   the ward's beds in JSON, for all who look at them
    meters  what the write path measures; parts add their own metrics to its registry
    load    whether what can wait has to: `await hub.calm("export")` before each piece of it
    pulse_error  why the store took no write when that was last tried, "" when it did
    room    how much room the store has, None while that is not known
    outages  the beds without current values
    attained  RTO and RPO by number of days, once they were looked up
    worker  this hub among others, None where it is alone
    verdict whether the site is cut off
    stop    ends the hub when it is set; fault: the error with which it then ends
    shown   what /api/health says of a part, by the part's name
    duties  what it says of each duty, by the duty's name
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
    duties: dict[str, Callable[[], Any]] = field(default_factory=dict)
    reader: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="reader")
    )

    cards: Cards = field(init=False)
    load: Load = field(init=False)
    meters: Meters = field(init=False)
    pulse_error: str = ""
    room: Room | None = None
    outages: Outages = field(default_factory=Outages)
    attained: dict[int, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cards = Cards(self.ward)
        self.load = Load(self.config[LoadSettings])
        self.meters = self.intake.meters
        self.consumer.answered = self.meters.answered

    def serves(self, gateway: bytes) -> bool:
        """Return whether this hub, among others, is the one that writes of a gateway."""
        return self.worker is None or self.worker.serves(gateway)

    def sheds(self, work: str) -> bool:
        """Return whether a piece of work has to wait for the load to end; if so it is counted."""
        if self.load.shedding:
            self.meters.shed.labels(work).inc()
        return self.load.shedding

    async def calm(self, work: str) -> None:
        """Wait until a piece of work may be done: at once, but under load."""
        if self.sheds(work):
            while self.load.shedding:
                await asyncio.sleep(_CALM_S)

    async def read(self, work: Callable[[], T]) -> T:
        """Run what waits for the store on the thread for readers; raises what `work` raises."""
        return await asyncio.get_running_loop().run_in_executor(self.reader, work)

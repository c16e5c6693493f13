"""What a hub does beside receipting. To add a job: a module, and its line here.

A job runs from the start of the hub to its end. What stops it is logged and counted, and it starts
again; one that returns has nothing to do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from vitalkeep.hub.context import Context
from vitalkeep.hub.jobs import (
    accounts,
    alarms,
    archive,
    broker,
    certificates,
    continuity,
    days,
    decoding,
    exchange,
    exports,
    history,
    house,
    load,
    others,
    outages,
    pulse,
    room,
    share,
    show,
    systemd,
)

Job = Callable[[Context], Awaitable[None]]

JOBS: tuple[tuple[str, Job], ...] = (
    ("share", share.run),
    ("others", others.run),
    ("continuity", continuity.run),
    ("alarms", alarms.run),
    ("tick", show.run),
    ("house", house.run),
    ("accounts", accounts.run),
    ("certificates", certificates.run),
    ("broker", broker.run),
    ("decoding", decoding.run),
    ("days", days.run),
    ("archive", archive.run),
    ("exports", exports.run),
    ("exchange", exchange.run),
    ("load", load.run),
    ("pulse", pulse.run),
    ("room", room.run),
    ("outages", outages.run),
    ("history", history.run),
    ("systemd", systemd.run),
)

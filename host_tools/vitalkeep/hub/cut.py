"""Is this site cut off? Named evidence in, a verdict with patience out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

BROKER_S = 10.0  # without a session: more than a broker's restart takes
SILENT_S = 15.0  # without a heartbeat of any gateway, which are due every two seconds
STORE_S = 10.0  # refusing
SITE_S = 15.0  # the other site does not answer
WELL_S = 10.0  # without any of these, before it is believed


@dataclass(frozen=True)
class Signs:
    """How long, in seconds, each thing has been so; 0 while it is not.

    broker  no session with the broker
    silent  no gateway was heard; 0 as well while there is none that could be
    store   the store refuses
    site    the other site does not answer; 0 as well where none is named
    """

    broker: float = 0.0
    silent: float = 0.0
    store: float = 0.0
    site: float = 0.0


class Verdict:
    """Whether the site is cut off from its gateways or its store.

    cut       it is: it should leave its duties to another
    isolated  it does not reach the other site; alone, that says nothing about who is cut off
    evidence  what speaks for it, in words
    """

    def __init__(self) -> None:
        self.cut = False
        self.isolated = False
        self.evidence: tuple[str, ...] = ()
        self._well_since: float | None = None

    def look(self, signs: Signs, now_s: float) -> bool:
        """Take what is seen at `now_s` (monotonic); returns True when the verdict changed."""
        before = (self.cut, self.isolated)
        grounds = []
        if signs.broker >= BROKER_S:
            grounds.append(f"no broker for {signs.broker:.0f} s")
        if signs.silent >= SILENT_S:
            grounds.append(f"no gateway heard for {signs.silent:.0f} s")
        if signs.store >= STORE_S:
            grounds.append(f"the store refuses for {signs.store:.0f} s")
        self.isolated = signs.site >= SITE_S
        alone = [f"the other site does not answer for {signs.site:.0f} s"] * self.isolated
        if grounds:
            self.cut = True
            self._well_since = None
        elif any((signs.broker, signs.silent >= SILENT_S / 2, signs.store)):
            self._well_since = None
        elif self.cut:
            self._well_since = now_s if self._well_since is None else self._well_since
            if now_s - self._well_since >= WELL_S:
                self.cut = False
        self.evidence = tuple(grounds + alone)
        return (self.cut, self.isolated) != before

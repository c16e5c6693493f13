"""Another site's hub as it lives, asked over the exchange: a source, and a site to compare with.

What comes is what any peer gives: sealed sectors, whose seal must fit, and the gateways' own runs
with their tags. To compare, the hub is challenged to read back: no bytes travel for that.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from bridge.core.journal.layout import SECTOR_SIZE
from vitalkeep.archive.others import LACKS, SITES, Other
from vitalkeep.archive.restore import Brought, Held, Part, Problem, Source, Want
from vitalkeep.errors import ToolError
from vitalkeep.hub.batch import Sealed
from vitalkeep.hub.config.load import Config
from vitalkeep.hub.exchange import plan, proof, wire
from vitalkeep.hub.exchange.bucket import Bucket
from vitalkeep.hub.exchange.client import Client
from vitalkeep.hub.exchange.holdings import View
from vitalkeep.hub.exchange.plan import Holding
from vitalkeep.hub.exchange.settings import ExchangeSettings, Peer
from vitalkeep.hub.exchange.tls import Doorkeeper, identity_of
from vitalkeep.hub.exchange.wire import Item, Nothing, PeerError, Speaker
from vitalkeep.hub.sectors import Place, Stored, Stream
from vitalkeep.hub.tags import place_of
from vitalkeep.hub.tls import Identity

SCHEME = "https://"
_AT_ONCE = 512  # sectors that are asked about at once
_TRIES = 4
_SUMMARIES_MAX = 10_000  # of a mebibyte each: more than any ward has
_PAUSE_S = 0.5  # before the second try; twice as long before each further one
_LEAST_BURST = 16 * 1024
_NOTHING = hashlib.sha256(b"").digest()[:8]
_HINT = (
    "Is it up, does its [exchange] listen there, and is this hub's certificate one of its peers?"
)

T = TypeVar("T")


class PeerHub:
    """One peer, asked question by question; `close` it.

    Raises  ToolError, from each method, when it does not answer or is not who it should be
    """

    def __init__(self, peer: Peer, settings: ExchangeSettings, identity: Identity) -> None:
        self.address = f"{peer.name} at {peer.url}"
        self.speaker: Speaker | None = None
        self._loop = asyncio.new_event_loop()
        door = Doorkeeper(identity.ca, [peer.name], settings.crl)
        self._client = Client(peer, identity.context(), door)
        self._bucket = Bucket(settings.rate_kb_s * 1000, _LEAST_BURST)
        self._view: View | None = None

    @classmethod
    def at(cls, address: str, config: Config) -> PeerHub:
        """Return the hub at https://host:port, one of [exchange], or https://hub-name@host:port.

        config  says with which certificate this end shows itself; raises ToolError
        """
        settings = config[ExchangeSettings]
        parts = urlsplit(address)
        name, _, host = parts.netloc.rpartition("@")
        url = urlunsplit((parts.scheme, host, parts.path, "", "")).rstrip("/")
        for known in settings.peers:
            if known.url.rstrip("/") == url:
                name = name or known.name
        if not name.startswith("hub-") or not host or parts.path.strip("/"):
            raise ToolError(
                f"{address}: whose certificate has to answer there?",
                "Name it, https://hub-east@host:port, or among the peers of [exchange].",
            )
        identity = identity_of(config)
        if identity is None:
            raise ToolError(
                f"{address}: this hub has no certificate to show there",
                "Name a hub.toml with ca, certificate and key in [exchange]: --config FILE.",
            )
        return cls(Peer(name, url), settings, identity)

    def close(self) -> None:
        self._loop.run_until_complete(self._client.__aexit__(None, None, None))
        self._loop.close()

    def holdings(self) -> dict[Stream, Holding]:
        """Return what it has, as it says; asked once."""
        if self._view is None:
            view = View()
            for _ in range(_SUMMARIES_MAX):
                question = {
                    "instance": (view.instance or bytes(8)).hex(),
                    "version": view.version,
                    "names": len(view.names),
                    "wait_ms": 0,
                }
                summary = self._try(lambda q=question: self._summary(q))  # type: ignore[misc]
                try:
                    view.take(summary)
                except PeerError as error:
                    raise ToolError(f"{self.address}: {error}", _HINT) from None
                if view.version == summary.version and not summary.more:
                    break
            else:
                raise ToolError(f"{self.address}: it never says all that it has", _HINT)
            self._view = view
        return self._view.held

    async def _summary(self, question: dict[str, object]) -> wire.Summary:
        summary = wire.parse_summary(await self._client.ask("summary", wire.dump(question)))
        self._meet(summary.speaker)
        return summary

    def _meet(self, speaker: Speaker) -> None:
        if self.speaker not in (None, speaker):
            raise ToolError(
                f"{self.address}: another site, or another store, answers now",
                "Run the same command again: it begins with what that one has.",
            )
        self.speaker = speaker

    def fetch(self, asked: Sequence[plan.Want]) -> list[Item]:
        """Return what it gives of at most wire.ASK_MAX sectors, within [exchange]'s rate."""
        question = wire.pack_question((want, _NOTHING) for want in asked)

        async def ask() -> list[Item]:
            items, size, broken = await self._client.items(question)
            wait = self._bucket.take(size, time.monotonic())
            if broken is not None and not items:
                raise broken
            await asyncio.sleep(wait)
            return items

        return self._try(ask)

    def prove(self, claims: Sequence[wire.Claim]) -> tuple[bytes, bytes, list[bytes | None]]:
        """Challenge it on at most wire.PROVE_MAX sectors; returns (nonce, its site, digests)."""
        nonce = secrets.token_bytes(wire.NONCE_SIZE)
        body = wire.pack_challenge(nonce, claims)

        async def ask() -> tuple[Speaker, list[bytes | None]]:
            answer = await self._client.ask("prove", body, wire.REQUEST_MAX)
            return wire.parse_proof(answer, len(claims))

        speaker, digests = self._try(ask)
        self._meet(speaker)
        return nonce, speaker.site, digests

    def _try(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask, and again when the line breaks: a restore of hours outlives a short outage."""
        pause = _PAUSE_S
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(pause)
                pause *= 2
            try:
                return self._loop.run_until_complete(question())
            except PeerError as error:
                why = error
        raise ToolError(f"{self.address}: {why}", _HINT)


class PeerSource(Source):
    """What a live hub has, to be restored from."""

    def __init__(self, hub: PeerHub) -> None:
        super().__init__(f"hub {hub.address}")
        self._hub = hub

    def parts(self, want: Want) -> Iterator[Part]:
        held = self._hub.holdings()
        self.total = sum(len(some.sealed) + len(some.parts) for some in held.values())
        for stream, holding in sorted(held.items()):
            # In the order of the log, so that each seal finds the one before.
            numbers = iter(sorted({*holding.sealed, *holding.parts}))
            while some := list(islice(numbers, _AT_ONCE)):
                yield self._part(stream, holding, some, want)

    def _part(self, stream: Stream, holding: Holding, numbers: list[int], want: Want) -> Part:
        found = []
        for number in numbers:
            length = holding.parts.get(number, (SECTOR_SIZE, 0))[0]
            found.append(Held(Place(*stream, number), length, 0))
        wanted = [held for held in want(found) if held.length]
        tries = 0
        while wanted and tries < _TRIES:
            left: list[Held] = []
            for start in range(0, len(wanted), wire.ASK_MAX):
                some = wanted[start : start + wire.ASK_MAX]
                asked = [plan.Want(h.place, h.place.sector in holding.sealed) for h in some]
                given = _by_place(self._hub.fetch(asked))
                for held in some:
                    brought = given.get(held.place)
                    if brought is None:
                        left.append(held)
                    else:
                        yield held, brought
            # Its archive may take longer than one question: it is asked again for what is left.
            if len(left) == len(wanted):
                tries += 1
                time.sleep(_PAUSE_S * tries)
            wanted = left
        for held in wanted:
            text = f"{held.place}: it cannot prove this, or not read it back"
            hint = "name its archive or its database as a source, too"
            self.problems.append(Problem("not given", self.name, f"{text}; {hint}", held))

    def close(self) -> None:
        self._hub.close()


def _by_place(items: Iterable[Item]) -> dict[Place, Brought]:
    """Return what came, by sector; what is nothing is left out."""
    given: dict[Place, Brought] = {}
    for item in items:
        if isinstance(item, Sealed):
            given[item.place] = item
        elif not isinstance(item, Nothing):
            place = place_of(item.gateway, item.cls, item.payload)
            runs = given.setdefault(place, []) if place is not None else None
            if isinstance(runs, list):
                runs.append(item)
    return given


class PeerSite(Other):
    """What a live hub has, to be compared with: it reads back, and both count digests."""

    def __init__(self, hub: PeerHub) -> None:
        self._hub = hub

    def gateways(self) -> set[bytes]:
        return {stream[0] for stream in self._hub.holdings()}

    def places(self, gateway: bytes) -> Iterator[Place]:
        for stream, holding in sorted(self._hub.holdings().items()):
            if stream[0] == gateway:
                held = {n for n, (length, _) in holding.parts.items() if length}
                for number in sorted({*holding.sealed, *held}):
                    yield Place(*stream, number)

    def compare(self, found: Sequence[tuple[Place, bytes]]) -> Iterator[tuple[Place, str, str]]:
        held = self._hub.holdings()
        claims: list[wire.Claim] = []
        ours: dict[Place, Stored | None] = {}
        for place, data in found:
            holding = held.get(place[:3], Holding())
            length = holding.parts.get(place.sector, (0, 0))[0]
            if place.sector in holding.sealed:
                length = SECTOR_SIZE
            if not length:
                yield place, LACKS, "the other site has nothing of it"
                continue
            if length < len(data):
                yield place, LACKS, f"the other site has {length} bytes of {len(data)}"
            claims.append((place, min(length, len(data))))
            ours[place] = Stored(data, 0)
        for start in range(0, len(claims), wire.PROVE_MAX):
            some = claims[start : start + wire.PROVE_MAX]
            absent, wrong = self._challenge(some, ours)
            if absent:  # its archive may take longer than one question
                again = [claim for claim in some if claim[0] in absent]
                absent, more = self._challenge(again, ours)
                wrong += more
            for place in absent:
                yield place, LACKS, "the other site cannot read it back"
            for place in wrong:
                yield place, SITES, "the other site reads back other bytes"

    def _challenge(
        self, claims: Sequence[wire.Claim], ours: Mapping[Place, Stored | None]
    ) -> tuple[list[Place], list[Place]]:
        """Return what it cannot read back, and what is not what we have."""
        nonce, site, digests = self._hub.prove(claims)
        _, absent, wrong = proof.judge(nonce, site, claims, ours, digests)
        return absent, wrong

    def close(self) -> None:
        self._hub.close()

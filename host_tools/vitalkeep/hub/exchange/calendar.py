"""Days get stated, go to the other sites, and come back signed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from vitalkeep.hub.exchange import days
from vitalkeep.hub.exchange.client import Client
from vitalkeep.hub.exchange.days import Day, Signature, Span
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.exchange.wire import PeerError
from vitalkeep.hub.sectors import Stream

if TYPE_CHECKING:
    from vitalkeep.hub.exchange.exchange import Exchange

_OFFERED_DAYS = 31  # how long a day that a site could not sign is offered to it again
_SHOWN_DAYS = 7
_CLOCK_DAYS = 1  # by which another site's clock may differ


class Calendar:
    """The days of this site and those that it signed for others.

    state  of the last days, for the page: {day: names of those who signed}
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.state: dict[str, list[str]] = {}
        self._told: set[tuple[str, str]] = set()

    def _key(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        identity = self._exchange.identity
        key = load_pem_private_key(identity.key.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PeerError(f"{identity.key}: not a key that vitalkeep ca issues")
        return key, x509.load_pem_x509_certificate(identity.certificate.read_bytes())

    def _authority(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self._exchange.identity.ca.read_bytes())

    def _sign(self, document: bytes) -> Signature:
        return days.sign(document, *self._key())

    async def state_yesterday(self, today: dt.date) -> None:
        """State the day that ended last, if it was not; with all that no day before stated."""
        day = (today - dt.timedelta(days=1)).isoformat()
        held = self._exchange.held()
        await self._exchange.read(lambda: self._state(day, held))

    def _state(self, day: str, held: dict[Stream, Ranges]) -> None:
        store, site = self._exchange.store, self._exchange.me.site
        if not any(row["day"] == day for row in store.days(site, day)):
            # Days to come are of a clock that was ahead for a while, and are none before this one.
            past = [bytes(row["document"]) for row in store.days(site) if row["day"] < day]
            said = days.covered(past)
            fresh = [
                (stream, all_.minus(said.get(stream, Ranges()))) for stream, all_ in held.items()
            ]
            midnight = dt.datetime.fromisoformat(day).replace(tzinfo=dt.timezone.utc)
            until_ms = int((midnight + dt.timedelta(days=1)).timestamp() * 1000)
            document = days.state_day(site, day, fresh, partial(store.seals, until_ms=until_ms))
            store.set_day(site, day, document, [self._sign(document)])
        self._show()

    def _show(self) -> None:
        rows = self._exchange.store.days(self._exchange.me.site, _ago(_SHOWN_DAYS))
        self.state = {
            row["day"]: sorted(signature["name"] for signature in row["signatures"])
            for row in rows
        }

    async def offer(self, client: Client, name: str, say: Any) -> None:
        """Have a peer sign the days of this site that it has not."""
        exchange = self._exchange
        since = _ago(_OFFERED_DAYS)
        rows = await exchange.read(lambda: exchange.store.days(exchange.me.site, since))
        for row in rows:
            signatures = row["signatures"]
            if row["day"] > _ago(0) or any(one["name"] == name for one in signatures):
                continue
            document, day = bytes(row["document"]), row["day"]
            answer = await client.ask("day", days.pack_offer(document, self._sign(document)))
            _, differing, signature = days.parse_verdict(answer)
            if signature is None:
                # It lacks some of it still, and is asked again; other seals are another matter.
                if differing and (name, day) not in self._told:
                    self._told.add((name, day))
                    say("bad", f"has other seals of {day} in {differing} logs: it does not sign")
                continue
            if days.signer_of(document, signature, self._authority(), day) != name:
                raise PeerError("it signs under another's name")
            merged = [*signatures, signature]
            job = partial(exchange.store.set_day, exchange.me.site, day, document, merged)
            await exchange.read(job)
        await exchange.read(self._show)

    async def answer(self, name: str, body: bytes) -> bytes:
        """Sign a peer's day if this site's own store has exactly these seals."""
        document, signature = days.parse_offer(body)
        day = days.parse_day(document)
        exchange = self._exchange
        if days.signer_of(document, signature, self._authority(), day.day) != name:
            raise PeerError("a day that somebody else signed")
        if exchange.site_of(name) != day.site:
            raise PeerError("a day of another site, or of one that was never asked")
        if not _ago(_OFFERED_DAYS + _CLOCK_DAYS) <= day.day <= _ago(-_CLOCK_DAYS):
            raise PeerError(f"{day.day}, want a day that ended not long ago")
        held = exchange.held()
        return await exchange.read(lambda: self._judge(name, day, document, signature, held))

    def _judge(
        self,
        name: str,
        day: Day,
        document: bytes,
        signature: Signature,
        held: dict[Stream, Ranges],
    ) -> bytes:
        store = self._exchange.store
        before = [row for row in store.days(day.site, day.day) if row["day"] == day.day]
        if any(bytes(row["document"]) != document for row in before):
            # What was in the first one may be what it would like to be without.
            self._tell_once(name, day, day.spans[:1], "stated {} otherwise before")
            return days.pack_verdict(0, 1, None)
        missing, differing = days.compare(
            day, lambda stream: held.get(stream, Ranges()), store.seals
        )
        if differing:
            self._tell_once(name, day, differing, "stated other seals for {} than are stored here")
        if missing or differing:
            return days.pack_verdict(missing, len(differing), None)
        ours = self._sign(document)
        store.set_day(day.site, day.day, document, [signature, ours])
        return days.pack_verdict(0, 0, ours)

    def _tell_once(self, name: str, day: Day, spans: Sequence[Span], what: str) -> None:
        if (name, day.day) not in self._told:
            self._told.add((name, day.day))
            gateway = spans[0].stream[0] if spans else None
            self._exchange.say_soon(gateway, "bad", f"{name} {what.format(day.day)}")


def today() -> dt.date:
    return dt.datetime.now(dt.timezone.utc).date()


def _ago(count: int) -> str:
    return (today() - dt.timedelta(days=count)).isoformat()

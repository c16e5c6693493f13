"""Checks of what a hub needs from others: its database, its broker, its certificates."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import secrets
import time
from collections.abc import Sequence

from vitalkeep.archive.bucket import LOCKED, UNKNOWN, Bucket, BucketError
from vitalkeep.archive.settings import ArchiveSettings
from vitalkeep.hub import migrations
from vitalkeep.hub.address import Address
from vitalkeep.hub.consume import Consumer, Message, Publish
from vitalkeep.hub.doctor.findings import BAD, GOOD, WARN, Findings
from vitalkeep.hub.store import Store, StoreError
from vitalkeep.hub.tls import WARN_DAYS, days_in_words

_SESSION_S = 10.0
_SPOILT_MAX = 1000  # that are counted
_QUIET = ("vk/+/state",)  # retained births and wills: asking for them takes nothing from a hub


def check_database(findings: Findings, url: str) -> int | None:
    """Reach the database, compare its schema, write to it when that is ours.

    Returns how far its clock is ahead of this one in ms, None when it has none of its own.
    """
    with findings.of("database"):
        store = Store(url)
        try:
            return _look(findings, store)
        except StoreError as error:
            text = f"{store.address}: {error}"
            findings.add("database", BAD, text, "Start it, or name another: --database URL.")
        finally:
            store.close()
    return None


def _look(findings: Findings, store: Store) -> int | None:
    found, newest = store.revision(), migrations.newest()
    if found is None:
        text = f"{store.address}: reached, and has no tables yet"
        findings.add("database", WARN, text, "vitalkeep hub makes them when it starts.")
    elif not migrations.is_known(found):
        text = f"{store.address}: its schema {found} is newer than {newest}, which we know"
        findings.add("database", BAD, text, "Run the newest release that has opened it.")
    elif found != newest:
        text = f"{store.address}: its schema is {found}, ours is {newest}"
        findings.add(
            "database", WARN, text, "vitalkeep hub brings it up to date: back it up first."
        )
    else:
        store.pulse()
        text = f"{store.address}: takes writes, its schema is ours ({found})"
        findings.add("database", GOOD, text)
        if spoilt := store.spoilt(_SPOILT_MAX):
            count = f"{len(spoilt)}{' or more' * (len(spoilt) == _SPOILT_MAX)}"
            text = f"{store.address}: {count} sectors are spoilt, one is {spoilt[0]}"
            action = "Their gateways or another site make them whole; vitalkeep verify names all."
            findings.add("database", BAD, text, action)
    asked_ms = time.time_ns() // 1_000_000
    theirs_ms = store.server_clock_ms()
    heard_ms = time.time_ns() // 1_000_000
    return None if theirs_ms is None else theirs_ms - (asked_ms + heard_ms) // 2


async def check_broker(findings: Findings, address: Address) -> dt.datetime | None:
    """Open a session as the hub does; returns when the broker's certificate ends."""

    async def ignore(_: Sequence[Message]) -> Sequence[Publish]:
        return ()

    consumer = Consumer([address], ignore, "vkdoctor-" + secrets.token_hex(6), _QUIET)
    session = asyncio.create_task(consumer.run())
    deadline = time.monotonic() + _SESSION_S
    while not consumer.sessions and not consumer.last_error and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    session.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await session
    if not consumer.sessions:
        why = consumer.last_error or f"no answer in {_SESSION_S:g} s"
        action = "Start the broker, or see docs/guides/site.md for its certificates and rights."
        findings.add("broker", BAD, f"{address}: {why}", action)
        return None
    findings.add("broker", GOOD, f"{address}: a session, with this hub's rights")
    identity = address.identity
    if identity is None:
        if address.host not in ("127.0.0.1", "::1", "localhost"):
            action = "Use mqtts:// with certificates: vitalkeep site config."
            findings.add("broker", WARN, f"{address}: not encrypted", action)
    elif await identity.lets_strangers_in(address.host, address.port):
        text = f"{address}: lets clients in that show no certificate"
        findings.add("broker", BAD, text, "Configure it anew: vitalkeep site config.")
    return consumer.broker_ends


def check_certificates(
    findings: Findings, address: Address, broker_ends: dt.datetime | None, now: dt.datetime
) -> None:
    """Say when each certificate ends."""
    if address.identity is None:
        return
    ends = address.identity.ends()
    if broker_ends is not None:
        ends["broker"] = broker_ends
    for name, end in ends.items():
        days = (end - now).days
        text = f"that of the {name} {days_in_words(days)}"
        if days > WARN_DAYS:
            findings.add("certificates", GOOD, text)
        else:
            action = f"Renew it: vitalkeep ca issue {'site' if name == 'broker' else 'hub'} ..."
            findings.add("certificates", BAD if days < 0 else WARN, text, action)


def check_archive(findings: Findings, settings: ArchiveSettings) -> None:
    """Reach the archive, if there is one, and ask it whether objects will be locked."""
    if settings.address is None:
        return
    with findings.of("archive"):
        try:
            lock = Bucket(settings.address, settings.options(), settings.lock_days).look()
        except BucketError as error:
            findings.add("archive", WARN, f"{error.code}: {error}", error.hint)
            return
        if lock == UNKNOWN:
            text = f"{settings.address}: whether objects are locked may not be asked"
            action = "Give the hub's account s3:GetBucketObjectLockConfiguration."
            findings.add("archive", WARN, text, action)
        else:
            kept = f"locked for {settings.lock_days} days" if lock == LOCKED else "not locked"
            findings.add("archive", GOOD, f"{settings.address}: reached; objects are {kept}")

"""A day's seals, stated by one site and signed by all: nobody changes the past alone. Pure.

The statement names ranges of sealed sectors, each log with the hash of its seals, and holds what
was not in one of the days before. A seal speaks for every byte of its sector, so a site that signs
says that its own store has these very bytes.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vitalkeep.hub.exchange import wire
from vitalkeep.hub.exchange.ranges import Ranges
from vitalkeep.hub.exchange.wire import PeerError
from vitalkeep.hub.sectors import Stream
from vitalkeep.keys.ca import Issued

_LABEL = b"vitalkeep day\0"
_DIGEST = 32
_LOGS_MAX = 1 << 20

Seals = Callable[[Stream, int, int], list[tuple[int, bytes]]]  # (sector, tag) first to last
Signature = dict[str, str]  # name, certificate (PEM), signature (base64 of DER)


@dataclass(frozen=True)
class Span:
    """The sealed sectors first to last of a log, and the hash of their seals."""

    stream: Stream
    first: int
    last: int
    digest: bytes


@dataclass(frozen=True)
class Day:
    """What one site states of one day, "2026-11-25" in UTC."""

    site: bytes
    day: str
    spans: list[Span]


def digest_of(seals: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the hash over (sector number, tag) of consecutive seals."""
    state = hashlib.sha256()
    for sector, tag in seals:
        state.update(sector.to_bytes(4, "little") + tag)
    return state.digest()


def state_day(site: bytes, day: str, held: Iterable[tuple[Stream, Ranges]], seals: Seals) -> bytes:
    """Return the document about sealed sectors that no earlier day has stated.

    held  what may be stated; what `seals` does not return of it is left for another day
    """
    logs = []
    for stream, ranges in held:
        gateway, log, cls = stream
        tags = dict(seal for pair in ranges.pairs() for seal in seals(stream, *pair))
        for first, last in Ranges((sector, sector) for sector in tags).pairs():
            digest = digest_of((sector, tags[sector]) for sector in range(first, last + 1))
            logs.append([gateway.hex(), log.hex(), cls, first, last, digest.hex()])
    logs.sort()
    return wire.dump({"site": site.hex(), "day": day, "logs": logs})


def parse_day(document: bytes) -> Day:
    """Return what a document states; raises PeerError."""
    fields = wire.parse(document)
    try:
        day = dt.date.fromisoformat(str(fields.get("day"))).isoformat()
    except ValueError:
        raise PeerError("a day that is no date") from None
    spans: list[Span] = []
    for item in wire.rows(fields.get("logs"), _LOGS_MAX):
        values = wire.row(item, 6)
        first = wire.whole(values[3], 0, wire.SECTOR_MAX)
        last = wire.whole(values[4], first, wire.SECTOR_MAX)
        digest = wire.octets(values[5], _DIGEST)
        span = Span(wire.stream_of(values), first, last, digest)
        if spans and (span.stream, first) <= (spans[-1].stream, spans[-1].last):
            raise PeerError("a day that is out of order, or names a sector twice")
        spans.append(span)
    return Day(wire.octets(fields.get("site"), 8), day, spans)


def compare(day: Day, held: Callable[[Stream], Ranges], seals: Seals) -> tuple[int, list[Span]]:
    """Return (sectors that are not here, spans whose seals are others here)."""
    missing, differing = 0, []
    for span in day.spans:
        lacking = Ranges([(span.first, span.last)]).minus(held(span.stream))
        if lacking:
            missing += len(lacking)
        elif digest_of(seals(span.stream, span.first, span.last)) != span.digest:
            differing.append(span)
    return missing, differing


# --- signatures ---


def sign(
    document: bytes,
    key: ec.EllipticCurvePrivateKey,
    certificate: x509.Certificate,
    label: bytes = _LABEL,
) -> Signature:
    """Return a hub's signature under a document (ECDSA, SHA-256, with its TLS key).

    label  says what kind of document it is: a signature under one is none under another
    """
    made = key.sign(label + document, ec.ECDSA(hashes.SHA256()))
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return {
        "name": Issued(certificate).name,
        "certificate": pem,
        "signature": base64.b64encode(made).decode(),
    }


def signer_of(
    document: bytes,
    signature: Signature,
    authority: x509.Certificate,
    day: str,
    label: bytes = _LABEL,
) -> str:
    """Return the name of the hub that signed a document; raises PeerError.

    Its certificate must be the authority's and have been good on that day or after: a signature
    outlives the certificate it was made with.
    """
    try:
        shown = x509.load_pem_x509_certificate(signature["certificate"].encode())
        shown.verify_directly_issued_by(authority)
        made = base64.b64decode(signature["signature"], validate=True)
        public = shown.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise PeerError("a signature of a kind that no hub makes")
        public.verify(made, label + document, ec.ECDSA(hashes.SHA256()))
    except (KeyError, TypeError, AttributeError, ValueError, InvalidSignature):
        raise PeerError("a signature that does not fit") from None
    issued = Issued(shown)
    if issued.role != "hub":
        raise PeerError(f"signed by {issued.name}, which is no hub")
    if shown.not_valid_after_utc.date().isoformat() < day:
        raise PeerError(f"signed with a certificate of {issued.name} that had ended")
    return issued.name


def check_day(
    document: bytes,
    signatures: Sequence[Signature],
    authority: x509.Certificate,
    held: Callable[[Stream], Ranges],
    seals: Seals,
    least: int = 2,
) -> list[str]:
    """Return everything that is wrong with a day's statement, in words; nothing when it holds.

    signatures  at least `least` sites must have signed
    held, seals what the store that is checked has
    """
    problems = []
    try:
        day = parse_day(document)
    except PeerError as error:
        return [f"the document: {error}"]
    signers = set()
    for signature in signatures:
        try:
            signers.add(signer_of(document, signature, authority, day.day))
        except PeerError as error:
            problems.append(f"{day.day}: {error}")
    if len(signers) < least:
        problems.append(f"{day.day}: signed by {', '.join(sorted(signers)) or 'nobody'} alone")
    missing, differing = compare(day, held, seals)
    if missing:
        problems.append(f"{day.day}: {missing} sectors that were sealed then are not here")
    for span in differing:
        gateway, _, cls = span.stream
        where = f"{gateway.hex()} class {'ABC'[cls]} sectors {span.first} to {span.last}"
        problems.append(f"{day.day}: {where}: other seals than were signed")
    return problems


# --- between hubs ---


def pack_offer(document: bytes, signature: Signature) -> bytes:
    return wire.dump({"document": document.decode(), "signature": signature})


def parse_offer(body: bytes) -> tuple[bytes, Signature]:
    fields = wire.parse(body)
    document, signature = fields.get("document"), fields.get("signature")
    if not isinstance(document, str) or not isinstance(signature, dict):
        raise PeerError("no document with a signature")
    try:
        encoded = document.encode()
    except UnicodeEncodeError:
        raise PeerError("a document that is no text") from None
    return encoded, {str(name): str(text) for name, text in signature.items()}


def pack_verdict(missing: int, differing: int, signature: Signature | None) -> bytes:
    return wire.dump({"missing": missing, "differing": differing, "signature": signature})


def parse_verdict(body: bytes) -> tuple[int, int, Signature | None]:
    fields = wire.parse(body)
    missing = wire.whole(fields.get("missing"), 0, 1 << 62)
    differing = wire.whole(fields.get("differing"), 0, 1 << 62)
    signature = fields.get("signature")
    if not isinstance(signature, dict):
        return missing, differing, None
    return missing, differing, {str(name): str(text) for name, text in signature.items()}


def covered(documents: Iterable[bytes]) -> dict[Stream, Ranges]:
    """Return what statements are about, by log."""
    found: dict[Stream, Ranges] = {}
    for document in documents:
        for gateway, log, cls, first, last, _ in json.loads(document)["logs"]:
            stream = (bytes.fromhex(gateway), bytes.fromhex(log), cls)
            found.setdefault(stream, Ranges()).add(first, last)
    return found

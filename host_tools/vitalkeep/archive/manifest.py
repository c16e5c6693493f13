"""What a backup says it has. Pure (docs/formats/pack.md, "Manifests").

A manifest names its packs by their digests. How much there is of each log it says under that
gateway's own key, so whoever holds the bucket can take packs away, and not unnoticed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from bridge.core.journal.layout import CLASSES
from vitalkeep.archive.pack import KeyOf, day_of

VERSION = 1
FULL = "full"
INCREMENTAL = "incremental"
_LABEL = b"vitalkeep manifest"


class ManifestError(Exception):
    """A manifest that makes no sense."""


class PackRef(NamedTuple):
    """A pack by name, its size in bytes, its sectors, and SHA-256 of all of it."""

    name: str
    size: int
    sectors: int
    digest: bytes


class Head(NamedTuple):
    """What there is of one class of one log: sectors, their bytes, the highest number."""

    gateway: bytes
    log: bytes
    sectors: int
    size: int
    newest: int


@dataclass(frozen=True)
class Manifest:
    """One backup.

    site      id of the site that made it
    kind      FULL or INCREMENTAL
    made_ms   UTC
    previous  name of the manifest before it, "" for the first
    """

    site: bytes
    cls: int
    kind: str
    made_ms: int
    previous: str
    packs: tuple[PackRef, ...]
    heads: tuple[Head, ...]

    def _line(self, head: Head) -> bytes:
        text = [self.site.hex(), self.cls, self.kind, self.made_ms, self.previous]
        text += [head.gateway.hex(), head.log.hex(), *head[2:]]
        return json.dumps(text).encode()

    def _tag(self, head: Head, key: bytes) -> str:
        return hmac.digest(key, _LABEL + self._line(head), "sha256")[:16].hex()

    def dump(self, key_of: KeyOf) -> bytes:
        """Return its bytes; heads of gateways without a key are left out."""
        heads = []
        for head in self.heads:
            key = key_of(head.gateway)
            if key is not None:
                heads.append([head.gateway.hex(), head.log.hex(), *head[2:], self._tag(head, key)])
        packs = [[ref.name, ref.size, ref.sectors, ref.digest.hex()] for ref in self.packs]
        content = {"v": VERSION, "site": self.site.hex(), "class": CLASSES[self.cls]}
        content |= {"kind": self.kind, "made_ms": self.made_ms, "previous": self.previous}
        return json.dumps(content | {"packs": packs, "heads": heads}, indent=0).encode()


def load(data: bytes, key_of: KeyOf) -> tuple[Manifest, list[Head]]:
    """Return a manifest with the heads that are true, and those whose tag is wrong.

    Raises  ManifestError
    """
    try:
        content = json.loads(data)
        if content["v"] != VERSION:
            raise ManifestError(f"version {content['v']}, want {VERSION}")
        packs = tuple(
            PackRef(str(name), int(size), int(count), bytes.fromhex(digest))
            for name, size, count, digest in content["packs"]
        )
        heads = [
            (Head(bytes.fromhex(g), bytes.fromhex(log), int(count), int(size), int(newest)), tag)
            for g, log, count, size, newest, tag in content["heads"]
        ]
        cls = CLASSES.index(content["class"])
        site, made_ms = bytes.fromhex(content["site"]), int(content["made_ms"])
        kind, previous = str(content["kind"]), str(content["previous"])
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ManifestError(f"makes no sense ({type(error).__name__})") from None
    found = Manifest(site, cls, kind, made_ms, previous, packs, ())
    true: list[Head] = []
    false: list[Head] = []
    for head, tag in heads:
        key = key_of(head.gateway)
        good = key is not None and hmac.compare_digest(found._tag(head, key), str(tag))
        (true if good else false).append(head)
    return replace(found, heads=tuple(true)), false


def name(data: bytes, manifest: Manifest) -> str:
    """Return the name of a manifest; names sort by time within a site and class."""
    digest = hashlib.sha256(data).hexdigest()[:16]
    folder = f"{prefix(manifest.site, manifest.cls)}{day_of(manifest.made_ms)}"
    return f"{folder}/{manifest.made_ms:013d}-{manifest.kind}-{digest}.json"


def prefix(site: bytes, cls: int) -> str:
    """Return what the names of a site's manifests of a class begin with."""
    return f"manifest/{site.hex()}/{CLASSES[cls]}/"


def heads_of(places: Iterable[tuple[bytes, bytes, int, int]]) -> Sequence[Head]:
    """Return the heads of (gateway, log, sector, length) entries, each place once."""
    found: dict[tuple[bytes, bytes], list[int]] = {}
    for gateway, log, sector, length in places:
        head = found.setdefault((gateway, log), [0, 0, 0])
        head[0] += 1
        head[1] += length
        head[2] = max(head[2], sector)
    return [Head(*stream, *numbers) for stream, numbers in sorted(found.items())]

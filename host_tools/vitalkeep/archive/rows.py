"""The values of a cold pack's sectors: one encrypted Parquet file a gateway. No I/O.

What stays on site is readable there; what leaves must not be. Each gateway's file is sealed with
AES-256-GCM under a key of that gateway, bound to the pack it stands beside.
"""

from __future__ import annotations

import hmac
import io
import secrets
import struct
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bridge.core.journal import records
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.pack import DAMAGED, FOREIGN, FORGED, SHORT, Item, PackError
from vitalkeep.journal import chain, export

_MAGIC = b"VKRW"
_VERSION = 1
_HEADER = struct.Struct("<4sBBHI")
_ENTRY = struct.Struct("<8sI12s")
_COUNT_MAX = 100_000
_LABEL = b"vitalkeep rows"


def name(pack: str) -> str:
    """Return the name of the rows that stand beside a pack."""
    return pack.removesuffix(".pack") + ".rows"


def build(pack: str, items: Sequence[Item], keys: ArchiveKeys) -> bytes:
    """Return the rows of a pack's sectors; raises ToolError when pyarrow is not installed."""
    parts: dict[bytes, list[Item]] = {}
    for item in items:
        parts.setdefault(item.place.gateway, []).append(item)
    entries, bodies = [], []
    for gateway, of_gateway in sorted(parts.items()):
        nonce = secrets.token_bytes(12)
        clear = _parquet(of_gateway, keys)
        sealed = AESGCM(_key(keys, gateway)).encrypt(nonce, clear, _bound(pack, gateway))
        entries.append(_ENTRY.pack(gateway, len(sealed), nonce))
        bodies.append(sealed)
    return b"".join((_HEADER.pack(_MAGIC, _VERSION, 0, 0, len(entries)), *entries, *bodies))


def read(pack: str, data: bytes, gateway: bytes, keys: ArchiveKeys) -> bytes | None:
    """Return one gateway's Parquet file, None when it has none there; raises PackError."""
    if len(data) < _HEADER.size:
        raise PackError(SHORT, f"{name(pack)}: {len(data)} bytes")
    magic, version, _, _, count = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise PackError(FOREIGN, f"{name(pack)}: {magic!r} version {version}")
    start = _HEADER.size + count * _ENTRY.size
    if count > _COUNT_MAX or len(data) < start:
        raise PackError(DAMAGED, f"{name(pack)}: {count} entries in {len(data)} bytes")
    for number in range(count):
        found, size, nonce = _ENTRY.unpack_from(data, _HEADER.size + number * _ENTRY.size)
        if found == gateway:
            try:
                sealed = data[start : start + size]
                return AESGCM(_key(keys, gateway)).decrypt(nonce, sealed, _bound(pack, gateway))
            except InvalidTag:
                raise PackError(FORGED, f"{name(pack)}: {gateway.hex()}: wrong tag") from None
        start += size
    return None


def _key(keys: ArchiveKeys, gateway: bytes) -> bytes:
    key = keys.of(gateway)
    if key is None:
        raise ValueError(f"{gateway.hex()}: not in the vault")
    return hmac.digest(key, _LABEL, "sha256")


def _bound(pack: str, gateway: bytes) -> bytes:
    return _LABEL + bytes((_VERSION,)) + pack.rpartition("/")[2].encode() + gateway


def _parquet(items: Sequence[Item], keys: ArchiveKeys) -> bytes:
    spool = export.Spool()
    clocks: list[dict[str, int]] = []
    for item in items:
        sector, found = keys.records(item.place, item.data)
        spool.take(item.place, sector, chain.Proof(chain.VERIFIED, records=found))
        clocks += [export.clock_row(record) for record in found if record.kind == records.CLOCK]
    rows = spool.rows(records.OBSERVATION, {items[0].place.gateway: clocks})
    file = io.BytesIO()
    export.write_parquet(file, rows)
    return file.getvalue()

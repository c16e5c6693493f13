"""What others would store for the same values; each is given the benefit of the doubt.

The time is a whole number of milliseconds, the device has a short name, values that are missing
are left out, units are left out too, and only the bytes themselves count: no file system, no
check, no encryption.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

JSON, CBOR, DEFLATED = "JSON lines", "CBOR", "JSON lines, deflated by commit"
PEERS = (JSON, CBOR, DEFLATED)
SUFFIXES = {JSON: "", CBOR: ".cbor", DEFLATED: ".deflate"}

_EPOCH_MS = 1_790_000_000_000

Line = dict[str, Any]

try:
    from cbor2 import dumps as _to_cbor
except ImportError:
    to_cbor: Callable[[Line], bytes] | None = None
else:
    to_cbor = _to_cbor


def line(device: str, mono_ms: int, values: dict[str, Any]) -> Line:
    """Return the object that a person would write for one message of a device."""
    return {"t": _EPOCH_MS + mono_ms, "dev": device, **values}


def to_json(message: Line) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def sizes(commits: Iterable[Sequence[Line]]) -> dict[str, int | None]:
    """Return {peer: bytes} of messages in the commits that carry them; None: not installed."""
    total = dict.fromkeys(PEERS, 0)
    for commit in commits:
        text = b"".join(map(to_json, commit))
        total[JSON] += len(text)
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        total[DEFLATED] += len(deflate.compress(text) + deflate.flush())
        if to_cbor is not None:
            total[CBOR] += sum(len(to_cbor(message)) for message in commit)
    return {peer: size if size else None for peer, size in total.items()}

"""A bundle's bytes: the firmware of one kind of board in one file (docs/formats/bundle.md)."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from bridge.core import bundle as layout
from bridge.core.bundle import Manifest
from bridge.core.errors import FormatError
from vitalkeep.errors import ToolError

_HASH = ec.ECDSA(hashes.SHA256())
UNSIGNED = bytes(layout.SIGNATURE_SIZE)


@dataclass(frozen=True)
class Bundle:
    """One bundle.

    body       all that is hashed
    signature  r and s, 32 bytes each; UNSIGNED for none
    """

    manifest: Manifest
    body: bytes
    signature: bytes = UNSIGNED

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.body).digest()

    @property
    def data(self) -> bytes:
        """The whole file."""
        return self.body + self.digest + self.signature

    @property
    def is_signed(self) -> bool:
        return self.signature != UNSIGNED

    def sign(self, key: ec.EllipticCurvePrivateKey) -> Bundle:
        """Return it signed by the ward's authority."""
        r, s = utils.decode_dss_signature(key.sign(self.body, _HASH))
        return replace(self, signature=r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def is_signed_by(self, key: ec.EllipticCurvePublicKey) -> bool:
        r, s = (int.from_bytes(part, "big") for part in (self.signature[:32], self.signature[32:]))
        try:
            key.verify(utils.encode_dss_signature(r, s), self.body, _HASH)
        except InvalidSignature:
            return False
        return True

    def facts(self) -> dict[str, Any]:
        size = len(self.body) + layout.TAIL_SIZE
        facts = json.loads(self.manifest.pack())
        return {**facts, "size": size, "digest": self.digest.hex(), "signed": self.is_signed}


def pack(modules: Mapping[str, bytes], manifest: Manifest) -> Bundle:
    """Return the bundle of compiled modules {path: bytes}; raises ToolError when it is too large.

    manifest  what they are for
    """
    about = manifest.pack()
    folders = {path[:at] for path in modules for at, sign in enumerate(path) if sign == "/"}
    index = b""
    at = layout.HEAD_SIZE + len(about) + (len(folders) + len(modules)) * layout.ENTRY_SIZE
    for folder in sorted(folders):
        index += _entry(folder, 0)
    for path, data in modules.items():
        index += _entry(path, at)
        at += len(data)
    size = at + layout.TAIL_SIZE
    if size > layout.BUNDLE_MAX:
        raise ToolError(
            f"a firmware of {size} bytes, and a bundle has {layout.BUNDLE_MAX} at most",
            "Leave out what these boards do not need.",
        )
    _check_keys([*folders, *modules])
    entries = len(index) // layout.ENTRY_SIZE
    head = struct.pack(layout.HEAD, layout.MAGIC, size, len(about), entries)
    return Bundle(manifest, head + about + index + b"".join(modules.values()))


def parse(data: bytes, where: str = "bundle") -> Bundle:
    """Return the bundle in a file's bytes; raises ToolError unless it is whole."""
    try:
        size, about, _ = layout.parse_head(data)
        if size != len(data):
            raise FormatError(f"{len(data)} bytes, want {size}")
        manifest = layout.parse_manifest(data[layout.HEAD_SIZE : layout.HEAD_SIZE + about])
    except FormatError as error:
        raise ToolError(f"{where}: {error}", "vitalkeep update build makes one.") from None
    body, tail = data[: -layout.TAIL_SIZE], data[-layout.TAIL_SIZE :]
    found = Bundle(manifest, body, tail[layout.DIGEST_SIZE :])
    if found.digest != tail[: layout.DIGEST_SIZE]:
        raise ToolError(f"{where}: damaged: its digest is another one", "Build or copy it again.")
    return found


def _entry(path: str, at: int) -> bytes:
    return struct.pack(layout.ENTRY, layout.path_key("/" + path), at)


def _check_keys(paths: list[str]) -> None:
    """Refuse what a board would mistake for another: it knows paths by their CRC-32 alone."""
    # What the importer asks for on its way to a module, and finds nothing there
    stems = {path.removesuffix(".mpy") for path in paths}
    asked = {*paths, *stems, *(stem + ".py" for stem in stems)}
    keys = {layout.path_key("/" + path) for path in asked}
    if len(keys) != len(asked):
        raise ToolError("two paths have the same CRC-32", "Name a module otherwise.")

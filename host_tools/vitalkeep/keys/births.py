"""The register of a ward's gateways: one signed line for each event of a life, each chained.

    ca/births.jsonl

A line is JSON: what happened, the SHA-256 of the line before, and a signature of the authority's
key over all of that. So a line that was changed, left out or put in later shows. A register that
was cut off at its end shows beside what somebody kept of it: each label has its line's hash. A
last line that was cut short is none: nobody was told that it was written, and the next event takes
its place.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from filelock import FileLock, Timeout

from vitalkeep.errors import ToolError
from vitalkeep.keys.ca import Authority
from vitalkeep.keys.certificates import Signer

PROVISIONED, ACCEPTED, RENEWED = "provisioned", "accepted", "renewed"
DRAINED, RETIRED = "drained", "retired"

_FILE = "births.jsonl"
_LOCK_S = 30
_FIRST = "0" * 64
_SIGNATURE = "signature"


@dataclass(frozen=True)
class Entry:
    """One line: its number from 0, its fields without the signature, and the line's hash."""

    number: int
    fields: Mapping[str, Any]
    hash: str

    @property
    def event(self) -> str:
        return str(self.fields["event"])

    @property
    def gateway(self) -> str:
        return str(self.fields["gateway"])


class Register:
    """The register of an authority."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self.path = authority.folder / _FILE

    def entries(self) -> list[Entry]:
        """Return all lines, each checked; raises ToolError for the first that is not right."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return self._checked(lines[:-1])

    def last(self, gateway: str, *events: str) -> Entry | None:
        """Return the newest line of a gateway, of some events if any are named."""
        found = [
            entry for entry in self.entries()
            if entry.gateway == gateway and (not events or entry.event in events)
        ]  # fmt: skip
        return found[-1] if found else None

    def add(
        self, signer: Signer, event: str, gateway: str, now: dt.datetime, **facts: Any
    ) -> Entry:
        """Append a line, on disk when this returns; raises ToolError."""
        with self._alone():
            return self._add(signer, event, gateway, now, facts)

    def first(
        self, signer: Signer, event: str, gateway: str, now: dt.datetime, **facts: Any
    ) -> Entry:
        """Append a line unless the gateway has one of this event; returns that which is there."""
        with self._alone():
            found = self.last(gateway, event)
            return found or self._add(signer, event, gateway, now, facts)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from writing meanwhile; raises ToolError."""
        try:
            with FileLock(f"{self.path}.lock", timeout=_LOCK_S):
                yield
        except Timeout:
            raise ToolError(
                f"{self.path}: another program writes it for {_LOCK_S} s already",
                "End that, and run the same again.",
            ) from None
        except OSError as error:
            raise ToolError(f"{self.path}: {error.strerror}", "Make room for it.") from None

    def _add(
        self, signer: Signer, event: str, gateway: str, now: dt.datetime, facts: dict[str, Any]
    ) -> Entry:
        self._mend()
        known = self.entries()
        fields = {
            "v": 1,
            "number": len(known),
            "before": known[-1].hash if known else _FIRST,
            "at": now.isoformat(timespec="seconds"),
            "event": event,
            "gateway": gateway,
            **facts,
        }
        signature = signer.sign(_words(fields), ec.ECDSA(hashes.SHA256()))
        line = _words(fields | {_SIGNATURE: signature.hex()})
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self._mend()
            raise
        return Entry(len(known), fields, hashlib.sha256(line).hexdigest())

    def _mend(self) -> None:
        """Take away a last line that was cut short, as this computer stopped or was full."""
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with self.path.open("r+b") as file:
                file.truncate(whole)

    def _checked(self, lines: list[bytes]) -> list[Entry]:
        public = self._authority.certificate.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        found: list[Entry] = []
        before = _FIRST
        for number, line in enumerate(lines):
            where = f"{self.path}:{number + 1}"
            try:
                fields = json.loads(line)
                signature = bytes.fromhex(fields.pop(_SIGNATURE))
                public.verify(signature, _words(fields), ec.ECDSA(hashes.SHA256()))
                if fields["v"] != 1:
                    raise ValueError(f"version {fields['v']}")
                entry = Entry(number, fields, hashlib.sha256(line).hexdigest())
                is_next = (fields["number"], fields["before"]) == (number, before)
            except InvalidSignature:
                raise _wrong(where, "not signed by this authority, or changed since") from None
            except (ValueError, KeyError, TypeError, AttributeError):
                raise _wrong(where, "not a line of a register") from None
            if not is_next:
                raise _wrong(where, "does not follow the line before: one was left out or put in")
            before = entry.hash
            found.append(entry)
        return found


def _words(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def _wrong(where: str, why: str) -> ToolError:
    return ToolError(f"{where}: {why}", "Restore the register from its copy, and find out who.")

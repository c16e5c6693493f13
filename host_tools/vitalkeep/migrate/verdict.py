"""Whether the switch from the other system can be made: conditions, and a report that says so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vitalkeep.errors import ToolError
from vitalkeep.hub.exchange import days
from vitalkeep.hub.exchange.wire import PeerError
from vitalkeep.hub.store import Store
from vitalkeep.hub.tls import Identity
from vitalkeep.keys.ca import Issued
from vitalkeep.migrate.comparing import MISSING_THERE, Comparison
from vitalkeep.migrate.mapping import HL7, Mapping
from vitalkeep.migrate.page import page

_LABEL = b"vitalkeep migration\0"
REPORT, PAGE, SUMS, SIGNATURE = "report.json", "report.html", "report.sha256", "signature.json"


class Condition(NamedTuple):
    """One thing that has to hold before the switch; text: what was found."""

    name: str
    holds: bool
    text: str


def of_comparison(
    found: Comparison, refused: int, unfinished: Sequence[str], error_rate: float
) -> list[Condition]:
    """Return what has to hold for an archive that was compared.

    refused     values of the other system that could not be taken
    unfinished  its files that are not read to their ends
    error_rate  of windows, that is allowed
    """
    same = sum(one.counts["same"] for one in found.series)
    left = [f"{one.series.bed} {one.series.label}: {one.why}" for one in found.series if one.why]
    looked = "a sample" if found.sample else "all"
    rate = f"{found.wrong} of {found.windows} windows, {looked} of {found.all_windows}"
    surely = f", with {found.confidence:.0%} confidence" if found.sample else ""
    there = sum(one.counts[MISSING_THERE] for one in found.series)
    return [
        Condition("values were compared", same > 0, f"{same} are the same on both sides"),
        Condition(
            "the other system's values are here",
            found.error_rate_at_most <= error_rate,
            f"something is missing here or different in {rate}: at most"
            f" {found.error_rate_at_most:.4%}{surely}, allowed {error_rate:.4%}",
        ),
        Condition(
            "every series was compared", not left, "; ".join(left[:10]) or "none is left out"
        ),
        Condition("nothing was refused", not refused, f"{refused} values: see the rejects file"),
        Condition(
            "its files are read to their ends",
            not unfinished,
            ", ".join(unfinished[:10]) or "all of them",
        ),
        Condition(
            "everything of ours could be read",
            not found.unreadable,
            "; ".join(found.unreadable[:10]) or f"{there} values are here alone",
        ),
    ]


def unfinished_files(store: Store, mapping: Mapping) -> list[str]:
    """Return the names of a system's files of which something is not read yet.

    Of HL7 a message that nothing ends is read, and looked at again when its file has grown.
    """
    last = {row["name"]: row for row in store.foreign_files(mapping.system)}
    return [
        name
        for name, row in last.items()
        if row["done_ms"] is None or (mapping.layout != HL7 and row["offset"] < row["size"])
    ]


def make_report(
    kind: str, site: bytes, made: str, conditions: Sequence[Condition], content: dict[str, Any]
) -> dict[str, Any]:
    """Return the report as it is written.

    kind  "archive" or "hub"; made: UTC, when
    """
    return {
        "v": 1,
        "kind": kind,
        "site": site.hex(),
        "made": made,
        "switch": all(condition.holds for condition in conditions),
        "conditions": [condition._asdict() for condition in conditions],
    } | content


def write_report(folder: Path, report: dict[str, Any], identity: Identity | None) -> str:
    """Write a report, its page, the SHA-256 of both and, with an identity, its signature under
    those; returns the report's SHA-256. Raises ToolError.
    """
    signer = _load(identity) if identity is not None else None
    document = (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode()
    digest = hashlib.sha256(document).hexdigest()
    html = page(report, digest, Issued(signer[1]).name if signer else None).encode()
    sums = _sums({REPORT: document, PAGE: html})
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / SIGNATURE).unlink(missing_ok=True)
        (folder / REPORT).write_bytes(document)
        (folder / PAGE).write_bytes(html)
        (folder / SUMS).write_bytes(sums)
        if signer is not None:
            signature = days.sign(sums, *signer, _LABEL)
            (folder / SIGNATURE).write_text(json.dumps(signature) + "\n")
    except OSError as error:
        raise ToolError(
            f"{folder}: {error.strerror or error}", "Name another: --report DIR."
        ) from None
    return digest


def _sums(files: dict[str, bytes]) -> bytes:
    """Return what `sha256sum -c` reads, and what is signed."""
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
    return "".join(lines).encode()


def _load(identity: Identity) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = serialization.load_pem_private_key(identity.key.read_bytes(), None)
    certificate = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ToolError(f"{identity.key}: not the key of a hub", "vitalkeep ca issue hub NAME.")
    return key, certificate


def check_report(folder: Path, authority: Path) -> tuple[dict[str, Any], str]:
    """Return a report and the hub that signed it and its page; raises ToolError when one of them
    is not as signed.
    """
    hint = "Ask for the whole folder again, as `vitalkeep migrate` wrote it."
    if (folder / REPORT).exists() and not (folder / SIGNATURE).exists():
        raise ToolError(
            f"{folder}: nobody signed it",
            "A hub signs what it reports, if its hub.toml has a certificate.",
        )
    try:
        files = {name: (folder / name).read_bytes() for name in (REPORT, PAGE)}
        sums = (folder / SUMS).read_bytes()
        signature = json.loads((folder / SIGNATURE).read_bytes())
        issuer = x509.load_pem_x509_certificate(authority.read_bytes())
        report: dict[str, Any] = json.loads(files[REPORT])
        signer = days.signer_of(sums, signature, issuer, str(report["made"])[:10], _LABEL)
    except OSError as error:
        raise ToolError(f"{error.filename}: {error.strerror}", hint) from None
    except (PeerError, ValueError, KeyError, TypeError) as error:
        raise ToolError(f"{folder}: {error}", hint) from None
    signed = sums.splitlines(keepends=True)
    changed = [name for name, data in files.items() if _sums({name: data}) not in signed]
    if changed:
        raise ToolError(f"{folder}: {' and '.join(changed)}: not as {signer} signed it", hint)
    return report, signer

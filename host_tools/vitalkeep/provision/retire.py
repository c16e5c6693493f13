"""A gateway's end: all that it holds is at a site, nobody lets it in, and the board is blank.

The order survives a cut at each step. That all is receipted is proved and signed; the keys go
then, so that nothing is recorded any more; then it is shut out everywhere; then the log goes, and
the register closes. The vault keeps the root key: what was stored stays readable for ever.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bridge.core.journal.layout import CLASSES
from vitalkeep.board.errors import BoardError
from vitalkeep.board.progress import Progress
from vitalkeep.keys.births import DRAINED, RETIRED, Entry
from vitalkeep.provision.acceptance import Has, bytes_of, prove
from vitalkeep.provision.board import CONFIG, TLS, TRIAL, GatewayBoard, Head, Seen
from vitalkeep.provision.office import NEW, NOW, Office
from vitalkeep.provision.visit import visiting
from vitalkeep.site.revoke import Revocation, Revoker
from vitalkeep.ward.plan import Ward

DRAIN_S = 120.0
_FILES = (CONFIG, *TRIAL, *(f"{folder}/{name}" for folder in (NOW, NEW) for name in TLS[::-1]))


@dataclass(frozen=True)
class Retired:
    """What came of it.

    lost   bytes of the log that no site was asked about, 0 when all is receipted
    """

    gateway: str
    unique_id: str
    lost: int
    revocation: Revocation
    entry: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "outcome": "done" if self.revocation.is_whole else "partly",
            "gateway": self.gateway,
            "unique_id": self.unique_id,
            "lost": self.lost,
            "deeds": [vars(deed) for deed in self.revocation.deeds],
            "entry": self.entry,
        }


def retire(
    board: GatewayBoard,
    ward: Ward | None,
    office: Office,
    progress: Progress,
    *,
    lose: bool = False,
    patience_s: float = DRAIN_S,
) -> Retired:
    """End the gateway that a board is; raises BoardError, ToolError.

    ward  whose sites have its log; None only with `lose`, by which its log goes unread
    """
    progress.begin("look at the board")
    seen = board.look()
    drained = _drained(seen, office)
    gateway = drained.gateway if drained is not None else seen.gateway
    if not gateway:
        raise BoardError(
            "no-firmware" if not seen.firmware else "keys-damaged",
            f"{board.device}: no gateway can be read from this board ({seen.keys})",
            "Its id may be on its label: vitalkeep revoke shuts it out without the board.",
        )
    progress.end("done", f"gateway {gateway}, chip {seen.unique_id}")
    if drained is None:
        drained = _drain(board, seen, ward, office, progress, lose, patience_s)
    progress.begin("take the keys")
    board.wipe("KEYS", told=progress.at)
    progress.end("done", "cleared, erased, read back")
    progress.begin("shut it out")
    revoker = Revoker(
        bytes.fromhex(gateway), office.authority, office.signer, office.sites.vaults,
        office.sites.brokers,
    )  # fmt: skip
    revocation = revoker.run(office.now)
    failed = [f"{deed.where}: {deed.detail}" for deed in revocation.deeds if deed.hint]
    progress.end("skipped" if failed else "done", "; ".join(failed))
    progress.begin("erase the log")
    board.wipe("JOURNAL", _FILES, progress.at)
    progress.end("done", "read back")
    progress.begin("end record")
    lost = int(drained.fields["lost"])
    entry = office.register.add(
        office.signer, RETIRED, gateway, office.now(), unique_id=seen.unique_id, lost=lost,
        drained=drained.hash, shut_out=revocation.is_whole,
    )  # fmt: skip
    progress.end("done", f"line {entry.number + 1}, {entry.hash[:16]}")
    return Retired(gateway, seen.unique_id, lost, revocation, entry.hash)


def _drained(seen: Seen, office: Office) -> Entry | None:
    """Return the line by which a retirement began that was cut short after its proof."""
    mine = [
        entry for entry in office.register.entries()
        if entry.fields.get("unique_id") == seen.unique_id
    ]  # fmt: skip
    # As long as there are keys the board may have recorded more: it is proved again.
    is_begun = seen.keys != "gateway" and bool(mine) and mine[-1].event == DRAINED
    return mine[-1] if is_begun else None


def _drain(
    board: GatewayBoard,
    seen: Seen,
    ward: Ward | None,
    office: Office,
    progress: Progress,
    lose: bool,
    patience_s: float,
) -> Entry:
    progress.begin("deliver what is left")
    gateway, log = bytes.fromhex(seen.gateway), bytes.fromhex(seen.log)
    known = office.sites.find(gateway)
    has: Has = {}
    if lose:
        heads = board.heads()
        progress.end("skipped", f"as ordered: {bytes_of(heads)} bytes go unread")
    elif ward is None:
        raise BoardError(
            "not-drained",
            "which sites have its log is not said",
            "Name the ward's file: --ward. Or, if what is left may be lost: --lose.",
        )
    elif known is None:
        raise BoardError(
            "keys-damaged",
            f"no vault that is open here knows gateway {seen.gateway}",
            "Name its site's vault: --vault.",
        )
    else:
        with visiting(office, seen.gateway, any(site.tls for site in ward.sites)) as visit:
            has = prove(
                board, known, log, ward.sites, visit,
                lambda has: set().union(*has.values()) == set(CLASSES), patience_s,
            )  # fmt: skip
            heads = board.heads()
        shown = ", ".join(f"{name} {''.join(sorted(found))}" for name, found in has.items())
        progress.end("done", f"receipted to the last byte: {shown}")
    return office.register.add(
        office.signer, DRAINED, seen.gateway, office.now(), unique_id=seen.unique_id, log=seen.log,
        heads=_facts(heads), lost=bytes_of(heads) if lose else 0,
        receipted={name: "".join(sorted(found)) for name, found in has.items()},
    )  # fmt: skip


def _facts(heads: dict[str, Head]) -> dict[str, Any]:
    return {name: asdict(head) for name, head in heads.items()}

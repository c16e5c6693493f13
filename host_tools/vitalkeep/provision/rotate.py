"""A gateway in use gets a new certificate and a new key epoch, and loses no record by it.

The new epoch begins from seeds that the board never had before: who has copied its flash reads
nothing that is recorded from now on. The old chain is derived from the root key as ever.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization as form

from bridge.core.journal.keyring import SPARES
from vitalkeep.board.errors import BoardError
from vitalkeep.board.progress import Progress
from vitalkeep.keys.births import RENEWED
from vitalkeep.keys.ca import Bundle
from vitalkeep.keys.derive import EPOCHS_MAX
from vitalkeep.keys.provision import identity_hash, spare_seeds
from vitalkeep.keys.vault import Gateway
from vitalkeep.provision.board import GatewayBoard, Seen, digest
from vitalkeep.provision.office import NEW, NOW, Office, fingerprint, put_certificate

TRIED_S = 60.0  # for a site to receipt under a new certificate


@dataclass(frozen=True)
class Rotated:
    """What came of it.

    epoch        that the next records are sealed in, None when it was left
    certificate  serial of the new one, "" when it was left; is_proved: whether the old is revoked
    """

    gateway: str
    epoch: int | None
    certificate: str
    fingerprint: str
    is_proved: bool
    entry: str

    def as_dict(self) -> dict[str, Any]:
        return {"outcome": "done" if self.is_proved else "on-trial", **vars(self)}


def rotate(
    board: GatewayBoard,
    office: Office,
    progress: Progress,
    *,
    certificate: bool = True,
    epoch: bool = True,
    patience_s: float = TRIED_S,
) -> Rotated:
    """Rotate what is asked for; the gateway runs after. Raises BoardError, ToolError."""
    progress.begin("look at the board")
    seen = board.look()
    known = _known(seen, office)
    progress.end("done", f"gateway {seen.gateway} of {known.bed}, key epoch {seen.epoch}")
    new_epoch = _end_epoch(board, seen, known, progress) if epoch else None
    bundle = None
    if certificate:
        progress.begin("certificate")
        bundle = office.issue(seen.gateway)
        told = [why for why in office.sites.tell(office.now()).values() if why]
        put_certificate(board, bundle, NEW)
        progress.end("done", "; ".join(told) or "on the board, beside the one in use")
    progress.begin("start the gateway")
    board.restart()
    progress.end("done")
    is_proved = True
    if bundle is not None:
        is_proved = _wait_for_proof(board, office, bundle, progress, patience_s)
    entry = office.register.add(
        office.signer, RENEWED, seen.gateway, office.now(), unique_id=seen.unique_id,
        epoch=new_epoch, certificate=bundle.issued.serial if bundle else "",
    )  # fmt: skip
    return Rotated(
        seen.gateway, new_epoch, bundle.issued.serial if bundle else "",
        fingerprint(bundle.issued) if bundle else "", is_proved, entry.hash,
    )  # fmt: skip


def _known(seen: Seen, office: Office) -> Gateway:
    """Return the gateway as the vault has it; raises BoardError when its keys are others."""
    known = office.sites.find(bytes.fromhex(seen.gateway)) if seen.gateway else None
    sites = [bytes.fromhex(site) for site in seen.sites]
    if known is None or seen.identity != identity_hash(
        known.root, known.id, bytes.fromhex(seen.log), sites
    ):
        raise BoardError(
            "keys-damaged",
            f"the board's keys are not those of a gateway of this vault ({seen.keys})",
            "Name its site's vault: --vault; or provision the board: vitalkeep provision.",
        )
    return known


def _end_epoch(board: GatewayBoard, seen: Seen, known: Gateway, progress: Progress) -> int:
    progress.begin("key epoch")
    # Behind all seeds that the board ever had: since its last rotation, or when it was made.
    after = seen.epoch + SPARES
    if after + SPARES > EPOCHS_MAX or seen.blocks < 4:
        why = "no spare block" if seen.blocks < 4 else f"{seen.epoch} epochs behind it"
        raise BoardError(
            "keys-damaged",
            f"the board's key region has {why}",
            "Retire it, and provision it anew under a new id.",
        )
    board.end_epoch(spare_seeds(known.root, known.id, bytes.fromhex(seen.log), after))
    progress.end("done", f"epoch {seen.epoch} has ended, {after + 1} begins")
    return after + 1


def _wait_for_proof(
    board: GatewayBoard, office: Office, bundle: Bundle, progress: Progress, patience_s: float
) -> bool:
    """Wait until a site has receipted under the new certificate, then revoke the old ones."""
    progress.begin("prove the certificate")
    wanted = digest(bundle.issued.certificate.public_bytes(form.Encoding.DER))
    until = time.monotonic() + patience_s
    wait_s = 5.0
    while True:
        time.sleep(wait_s)
        seen = board.look()
        board.restart()
        if seen.files.get(f"{NOW}/gateway.der") == wanted:
            break
        if time.monotonic() > until:
            progress.end(
                "skipped",
                "no site has receipted under it yet: the old one stays good; later: vitalkeep ca "
                f"revoke {bundle.issued.name} --superseded",
            )
            return False
        wait_s = min(2 * wait_s, 20.0)
    others = office.revoke_others(bundle.issued)
    told = [why for why in office.sites.tell(office.now()).values() if why]
    progress.end("done", "; ".join(told) or f"in use; {len(others)} revoked")
    return True

"""A flashed board becomes a gateway: keys, certificate, configuration, and brokers that know it.

Each step looks first and leaves what is right as it is, so a run that was cut short is done again.
The vaults know a log before a board has its keys, and the register knows the board: whatever is
cut, nothing is sealed that nobody can open, and no id is on two boards.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization as form

from vitalkeep.board.errors import BoardError
from vitalkeep.board.kinds import BOARDS, Kind, find_kind
from vitalkeep.board.progress import Progress
from vitalkeep.keys.births import DRAINED, PROVISIONED, RENEWED, RETIRED, Entry
from vitalkeep.keys.ca import Issued
from vitalkeep.keys.provision import identity_hash, identity_pieces, key_region, pieces_of
from vitalkeep.provision.board import CONFIG, TLS, TRIAL, GatewayBoard, Seen, digest
from vitalkeep.provision.office import NEW, NOW, Office, fingerprint, put_certificate
from vitalkeep.provision.plan import Plan, check_fit

RENEW_DAYS = 60  # a certificate that ends sooner is renewed


@dataclass(frozen=True)
class Provisioned:
    """What a board is now.

    log         its log's id, in hex
    brokers     {folder: why it was not told, "" when it was}
    """

    gateway: str
    bed: str
    kind: Kind
    unique_id: str
    log: str
    fingerprint: str
    hours: float
    brokers: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "gateway": self.gateway,
            "bed": self.bed,
            "board": self.kind.name,
            "unique_id": self.unique_id,
            "log": self.log,
            "fingerprint": self.fingerprint,
            "hours": round(self.hours, 1),
            "brokers": self.brokers,
        }


def provision(
    board: GatewayBoard,
    plan: Plan,
    office: Office,
    progress: Progress,
    *,
    boards: Path = BOARDS,
    erase_log: bool = False,
    trial: bool = False,
) -> Provisioned:
    """Make the board the gateway of a plan; raises BoardError, ToolError.

    erase_log  whether a log of another gateway on it may go
    trial      whether a log that is full within a day will do
    """
    with board.left_running():
        return _Work(board, plan, office, progress).do(boards, erase_log, trial)


class _Work:
    def __init__(
        self, board: GatewayBoard, plan: Plan, office: Office, progress: Progress
    ) -> None:
        self.board = board
        self.plan = plan
        self.office = office
        self.progress = progress
        self.id = plan.gateway.hex()

    def do(self, boards: Path, erase_log: bool, trial: bool) -> Provisioned:
        plan, progress = self.plan, self.progress
        progress.begin("look at the board")
        seen = self.board.look()
        kind = find_kind(seen.board, boards)
        progress.end("done", f"{kind.name}, chip {seen.unique_id}, firmware {seen.firmware}")
        progress.begin("check the plan")
        check_fit(plan, kind, trial)
        self.office.sites.check(plan.sites)
        self._check_who(seen)
        progress.end("done", f"{plan.bed.name}: {plan.hours(kind):.0f} hours of {plan.devices} "
                     "devices, each counted as an 18-parameter monitor")  # fmt: skip
        log = self._keys(seen, erase_log)
        fingerprint = self._certificate(seen)
        self._configuration(seen)
        brokers = self._tell()
        progress.begin("start the gateway")
        self.board.restart()
        progress.end("done")
        return Provisioned(
            self.id,
            plan.bed.name,
            kind,
            seen.unique_id,
            log,
            fingerprint,
            plan.hours(kind),
            brokers,
        )

    # --- whose board it is ---

    def _check_who(self, seen: Seen) -> None:
        if seen.keys == "gateway" and seen.gateway != self.id:
            known = self.office.sites.find(bytes.fromhex(seen.gateway))
            bed = f" of {known.bed}" if known else ""
            raise BoardError(
                "other-gateway",
                f"this board is gateway {seen.gateway}{bed}, and {self.plan.bed.name} has "
                f"{self.id}",
                "Take another board; or, if this one is done there: vitalkeep retire.",
            )
        last = self.office.register.last(self.id)
        if last is not None and last.event in (DRAINED, RETIRED):
            raise BoardError(
                "gateway-taken",
                f"gateway {self.id} was {last.event} {last.fields['at'][:10]}",
                "Ids are never used twice: give the bed a new one in the ward's file.",
            )
        begun = self.office.register.last(self.id, PROVISIONED)
        if begun is not None:
            self._check_begun(begun, seen)

    def _check_begun(self, begun: Entry, seen: Seen) -> None:
        if begun.fields["unique_id"] != seen.unique_id:
            raise BoardError(
                "gateway-taken",
                f"gateway {self.id} is the board with chip {begun.fields['unique_id']}, and this "
                f"is {seen.unique_id}",
                "Take that board; or give the bed a new id, and revoke the old one.",
            )

    # --- keys ---

    def _keys(self, seen: Seen, erase_log: bool) -> str:
        progress = self.progress
        progress.begin("keys")
        if seen.keys == "gateway":
            return self._keep_keys(seen)
        if not seen.is_log_blank:
            self._make_room(seen, erase_log)
        log = secrets.token_bytes(8)
        known = self.office.sites.add(self.plan.gateway, self.plan.bed.name, log)
        begun = self.office.register.first(
            self.office.signer, PROVISIONED, self.id, self.office.now(),
            bed=self.plan.bed.name, unique_id=seen.unique_id, board=seen.board,
        )  # fmt: skip
        self._check_begun(begun, seen)  # somebody may have been faster with another board
        region = key_region(known.root, known.id, log, self.plan.sites, seen.blocks)
        self.board.write_keys(pieces_of(region))
        progress.end("done", f"log {log.hex()}, {len(self.plan.sites)} sites, read back")
        return log.hex()

    def _keep_keys(self, seen: Seen) -> str:
        known = self.office.sites.find(self.plan.gateway)
        log = bytes.fromhex(seen.log)
        there = [bytes.fromhex(site) for site in seen.sites]
        if known is None or identity_hash(known.root, known.id, log, there) != seen.identity:
            raise BoardError(
                "keys-damaged",
                f"the board's keys are not those that the vault has for gateway {self.id}",
                "Name the right vault; or retire the board (--lose), and take a new id.",
            )
        if not self.office.sites.all_know(known.id, log):
            self.office.sites.add(known.id, self.plan.bed.name, log)
        if there == self.plan.sites:
            self.progress.end("unchanged", f"log {seen.log}")
            return seen.log
        region = key_region(known.root, known.id, log, self.plan.sites, seen.blocks)
        self.board.write_keys(identity_pieces(region), identity=True)
        self.progress.end("done", f"log {seen.log} goes on, with {len(self.plan.sites)} sites")
        return seen.log

    def _make_room(self, seen: Seen, erase_log: bool) -> None:
        logs = ", ".join(seen.journal["logs"]) or "unreadable"
        if not erase_log:
            raise BoardError(
                "log-in-the-way",
                f"there is a log in flash, and no key to it on the board: {logs}",
                "Save and read it first (docs/guides/recover.md); then, if it may go: "
                "--erase-log.",
            )
        self.board.wipe("JOURNAL", told=self.progress.at)

    # --- certificate ---

    def _certificate(self, seen: Seen) -> str:
        progress = self.progress
        progress.begin("certificate")
        if not self.plan.uses_tls:
            progress.end("skipped", "no site of this ward wants one")
            return ""
        found = self._on_board(seen)
        now = self.office.now()
        if found is not None and found.days_left(now) > RENEW_DAYS:
            progress.end("unchanged", f"good for {found.days_left(now)} days")
            return fingerprint(found)
        bundle = self.office.issue(self.id)
        first = f"{NOW}/{TLS[-1]}" not in seen.files
        put_certificate(self.board, bundle, NOW if first else NEW)
        if first:
            # Those of runs that were cut short are on no board.
            self.office.revoke_others(bundle.issued)
        else:
            self.office.register.add(
                self.office.signer, RENEWED, self.id, now, certificate=bundle.issued.serial
            )
        progress.end("done", f"good for {bundle.issued.days_left(now)} days")
        return fingerprint(bundle.issued)

    def _on_board(self, seen: Seen) -> Issued | None:
        """Return the live certificate that the board shows now, or will show next."""
        authority = self.office.authority
        trusted = digest(authority.certificate.public_bytes(form.Encoding.DER))
        live = {
            digest(issued.certificate.public_bytes(form.Encoding.DER)): issued
            for issued in self.office.live(self.id)
        }
        for folder in (NEW, NOW):
            names = [f"{folder}/{name}" for name in TLS]
            there = [seen.files.get(name, "") for name in names]
            if all(there) and there[0] == trusted and there[1] in live:
                return live[there[1]]
        return None

    # --- the rest ---

    def _configuration(self, seen: Seen) -> None:
        self.progress.begin("configuration")
        if seen.files.get(CONFIG) == digest(self.plan.config):
            self.progress.end("unchanged")
            return
        # One on trial would take its predecessor back.
        trial = [path for path in TRIAL if path in seen.files]
        self.board.put([(CONFIG, self.plan.config)], remove=trial)
        self.progress.end("done", f"{len(self.plan.config)} bytes")

    def _tell(self) -> dict[str, str]:
        self.progress.begin("tell the brokers")
        told = self.office.sites.tell(self.office.now())
        failed = [f"{folder}: {why}" for folder, why in told.items() if why]
        if failed:
            self.progress.end("skipped", "; ".join(failed))
        elif not told:
            self.progress.end("skipped", "none is known: vitalkeep site config, for each")
        else:
            self.progress.end("done", f"{len(told)} know it")
        return told

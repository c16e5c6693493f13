"""A gateway is shut out: of its sites' vaults, of the authority, and of every broker there is.

Brokers read a new list, and yet a session that was open before goes on: mosquitto checks a
certificate at the door only. So two certificates are made for the gateway whose keys last as long
as this program. One is revoked with the gateway's own and shown at the door until the broker
refuses it, which proves that the list counts. The other then opens a session under the gateway's
name, which ends the one that was open, and is revoked as well.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vitalkeep.errors import ToolError
from vitalkeep.keys.ca import Authority, Bundle
from vitalkeep.keys.certificates import Signer
from vitalkeep.keys.vault import Vault
from vitalkeep.site.knock import Unreachable, is_let_in
from vitalkeep.site.known import Known, Listener, alone

PROOF_S = 30.0
_REACH_S = 5.0  # for a broker that may be starting anew just now
_AGAIN_S = 0.2

DONE, SAME, FAILED = "done", "same", "failed"


@dataclass
class Deed:
    """One thing that was to be done.

    what, where  "vault", "certificates", "broker" or "session", and which
    state        "done", "same" when it was so before, "failed"
    hint         the next action after a failure
    """

    what: str
    where: str
    state: str = FAILED
    detail: str = ""
    hint: str = ""


@dataclass
class Revocation:
    """What became of it."""

    gateway: str
    deeds: list[Deed] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return all(deed.state != FAILED for deed in self.deeds)


Told = Callable[[Deed], None]


class Revoker:
    """Shuts one gateway out.

    gateway  8 bytes
    vaults   of its sites
    brokers  of the authority
    """

    def __init__(
        self,
        gateway: bytes,
        authority: Authority,
        signer: Signer,
        vaults: Sequence[Vault],
        brokers: Sequence[Known],
        told: Told = lambda deed: None,
    ) -> None:
        self._id = gateway.hex()
        self._gateway = gateway
        self._authority = authority
        self._signer = signer
        self._vaults = {vault.folder.resolve(): vault for vault in vaults}
        self._brokers = brokers
        self._told = told
        self.done = Revocation(self._id)

    def run(self, now: Callable[[], dt.datetime]) -> Revocation:
        """Do all of it that can be done; what fails is in the result and stops nothing else."""
        for vault in self._vaults.values():
            with self._deed("vault", str(vault.folder)) as deed:
                self._revoke_in(vault, deed, now())
        live = [
            issued for issued in self._authority.issued()
            if issued.role == "gateway" and issued.name == self._id and issued.is_live(now())
        ]  # fmt: skip
        with self._deed("certificates", str(self._authority.folder)) as deed:
            self._authority.revoke(self._signer, live, now())
            deed.state = DONE if live else SAME
            deed.detail = f"{len(live)} revoked"
        if not self._brokers:
            with self._deed("broker", "none") as deed:
                raise ToolError(
                    "no broker of this authority is known here",
                    "Write each one's folder once: vitalkeep site config. Then run this again.",
                )
            return self.done
        # Made and shown only where somebody asks a broker.
        refused, admitted = self._probe(now()), self._probe(now())
        self._authority.revoke(self._signer, [refused.issued], now())
        told = [broker for broker in self._brokers if self._write(broker, now(), True)]
        for broker in told:
            for listener in self._listeners(broker):
                with self._deed("session", _place(listener)) as deed:
                    self._end_session(listener, refused, admitted, deed)
        self._authority.revoke(self._signer, [admitted.issued], now())
        for broker in told:
            self._write(broker, now(), False)
        return self.done

    def _revoke_in(self, vault: Vault, deed: Deed, now: dt.datetime) -> None:
        known = next((one for one in vault.gateways() if one.id == self._gateway), None)
        if known is None:
            deed.state, deed.detail = SAME, "it never knew this gateway"
            return
        deed.state = SAME if known.revoked else DONE
        deed.detail = f"revoked {vault.revoke(self._gateway, now).revoked}"

    def _probe(self, now: dt.datetime) -> Bundle:
        return self._authority.issue(self._signer, "gateway", self._id, now, days=1)

    def _gateways(self, broker: Known, with_it: bool) -> list[str]:
        vault = self._vaults.get(broker.vault.resolve())
        if vault is None:
            vault = self._vaults[broker.vault.resolve()] = Vault.open(broker.vault)
        if vault.changed():
            vault.reload()
        return vault.admitted() + ([self._id] if with_it else [])

    def _write(self, broker: Known, now: dt.datetime, first: bool) -> bool:
        """Write a broker's folder and have it read that; returns whether it is worth asking.

        first  as long as the probe that is to be admitted counts as the gateway
        """
        deed = Deed("broker", str(broker.out))
        try:
            with alone(self._authority):
                broker.write(self._authority, self._gateways(broker, first), now)
                deed.state = DONE
                deed.detail = "written; no command is known that has it read (site config --apply)"
                if broker.apply:
                    broker.have_it_read()
                    deed.detail = "written, and it was told to read it"
        except ToolError as error:
            deed.state, deed.detail, deed.hint = FAILED, error.message, error.hint
        if first or deed.state == FAILED:
            self.note(deed)
        return deed.state == DONE

    def _listeners(self, broker: Known) -> list[Listener]:
        with self._deed("session", str(broker.out), keep=False):
            return broker.listeners()
        return []

    def _end_session(
        self, listener: Listener, refused: Bundle, admitted: Bundle, deed: Deed
    ) -> None:
        began = time.monotonic()
        while True:
            limit_s = PROOF_S
            try:
                met = "it still takes a certificate that was revoked"
                if not is_let_in(listener, refused):
                    met = "it takes no certificate of this gateway, and the session may be open"
                    if is_let_in(listener, admitted):
                        deed.state = DONE
                        deed.detail = "the broker refuses it, and has ended its session"
                        return
            except Unreachable as error:
                met, limit_s = f"the broker is not reached: {error}", _REACH_S
            if time.monotonic() - began > limit_s:
                raise ToolError(
                    met,
                    "Have the broker read its folder (mosquitto: kill -HUP; NATS: --signal "
                    "reload), from a machine that reaches it, and run the same again.",
                )
            time.sleep(_AGAIN_S)

    @contextmanager
    def _deed(self, what: str, where: str, keep: bool = True) -> Iterator[Deed]:
        """Note what a piece of work came to; its failure is noted and stays here."""
        deed = Deed(what, where)
        try:
            yield deed
        except ToolError as error:
            deed.state, deed.detail, deed.hint = FAILED, error.message, error.hint
            keep = True
        if keep:
            self.note(deed)

    def note(self, deed: Deed) -> None:
        """Count a deed in, and tell of it."""
        self.done.deeds.append(deed)
        self._told(deed)


def _place(listener: Listener) -> str:
    return f"{listener.hosts[0] if listener.hosts else '?'}:{listener.port}"


def open_vaults(folders: Sequence[Path]) -> tuple[list[Vault], list[Deed]]:
    """Return the vaults of folders, each once, and a failed Deed for each that does not open."""
    found, failed = [], []
    for folder in dict.fromkeys(path.resolve() for path in folders):
        try:
            found.append(Vault.open(folder))
        except ToolError as error:
            failed.append(Deed("vault", str(folder), FAILED, error.message, error.hint))
    return found, failed

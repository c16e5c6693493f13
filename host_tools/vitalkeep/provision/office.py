"""What an engineer has at hand: authority, its key once it is asked for, sites, register."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from cryptography.hazmat.primitives import serialization as form

from vitalkeep.keys.births import Register
from vitalkeep.keys.ca import Authority, Bundle, Issued
from vitalkeep.keys.certificates import Signer
from vitalkeep.provision.board import GatewayBoard, digest
from vitalkeep.provision.sites import Sites

NOW, NEW = "/tls/now", "/tls/new"  # folders of a board (firmware/bridge/uplink/credentials.py)


@dataclass
class Office:
    """An engineer's desk.

    unlock  returns the authority's key; it may ask for a passphrase
    now     returns the time
    """

    authority: Authority
    sites: Sites
    unlock: Callable[[], Signer]
    now: Callable[[], dt.datetime]

    @cached_property
    def signer(self) -> Signer:
        return self.unlock()

    @cached_property
    def register(self) -> Register:
        return Register(self.authority)

    def beside(self) -> Office:
        """Return a desk for work at the same time: what is unlocked here is so there."""
        signer = self.signer
        vaults = [vault.again() for vault in self.sites.vaults]
        return replace(self, sites=replace(self.sites, vaults=vaults), unlock=lambda: signer)

    def live(self, gateway: str) -> list[Issued]:
        """Return a gateway's certificates that are good now, the newest first."""
        return [
            issued for issued in self.authority.issued()
            if issued.role == "gateway" and issued.name == gateway and issued.is_live(self.now())
        ]  # fmt: skip

    def issue(self, gateway: str) -> Bundle:
        """Issue a gateway's certificate with a new key; raises ToolError."""
        return self.authority.issue(self.signer, "gateway", gateway, self.now())

    def revoke_others(self, keep: Issued) -> list[Issued]:
        """Revoke all certificates of a gateway but one; raises ToolError. Returns those."""
        others = [issued for issued in self.live(keep.name) if issued.serial != keep.serial]
        if others:
            self.authority.revoke(self.signer, others, self.now())
        return others


def fingerprint(issued: Issued) -> str:
    """Return the SHA-256, in hex, of a certificate's public key (SubjectPublicKeyInfo)."""
    public = issued.certificate.public_key()
    return digest(public.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo))


def put_certificate(board: GatewayBoard, bundle: Bundle, folder: str) -> None:
    """Put certificate and key onto a board, the key last; raises BoardError."""
    board.put([(f"{folder}/{name}", data) for name, data in bundle.board_files()])

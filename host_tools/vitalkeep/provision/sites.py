"""The sites of a ward as they are known here: their vaults, and their brokers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitalkeep.errors import ToolError
from vitalkeep.keys.ca import Authority
from vitalkeep.keys.vault import Gateway, Vault
from vitalkeep.site.known import Known, alone, known_brokers


@dataclass
class Sites:
    """Vaults and brokers of one authority.

    vaults   each once; all of them know the same gateways with the same root keys
    brokers  of the authority
    """

    authority: Authority
    vaults: list[Vault]
    brokers: list[Known]

    @classmethod
    def open(cls, authority: Authority, folders: Sequence[Path], default: Path) -> Sites:
        """Open the vaults in folders, else those of the known brokers; raises ToolError."""
        brokers = known_brokers(authority)
        wanted = list(folders) or [broker.vault for broker in brokers] or [default]
        vaults = [Vault.open(folder) for folder in dict.fromkeys(f.resolve() for f in wanted)]
        return cls(authority, vaults, brokers)

    def gateways(self) -> dict[bytes, Gateway]:
        """Return all gateways of the vaults, by id."""
        return {known.id: known for vault in self.vaults for known in vault.gateways()}

    def find(self, gateway: bytes) -> Gateway | None:
        """Return a gateway as the first vault that knows it has it."""
        for vault in self.vaults:
            for known in vault.gateways():
                if known.id == gateway:
                    return known
        return None

    def all_know(self, gateway: bytes, log: bytes) -> bool:
        """Say whether every vault has a log of a gateway."""
        return all(
            any(known.id == gateway and log in known.logs for known in vault.gateways())
            for vault in self.vaults
        )

    def check(self, sites: Sequence[bytes]) -> None:
        """Raise ToolError when a site of a ward has no vault here."""
        known = {vault.site_id for vault in self.vaults}
        missing = [site.hex() for site in sites if site not in known]
        if missing:
            raise ToolError(
                f"site {missing[0]}: its vault is not open here, so its hub would not know the "
                "gateway",
                "Name the vault of each site: --vault DIR --vault DIR.",
            )

    def add(self, gateway: bytes, bed: str, log: bytes) -> Gateway:
        """Have every vault know a log of a gateway; raises ToolError. Returns the gateway."""
        known = self.find(gateway)
        # Whoever names them in another order begins with the same one: both get its root.
        for vault in sorted(self.vaults, key=lambda vault: vault.site_id):
            # The root that one vault has goes to the others, with all logs that it has.
            for old in known.logs if known else ():
                vault.add_gateway(gateway, bed, known.root if known else None, old)
            known = vault.add_gateway(gateway, bed, known.root if known else None, log)
        assert known is not None
        return known

    def tell(self, now: dt.datetime) -> dict[str, str]:
        """Write every broker's folder again and have it read; returns {folder: what failed}."""
        with alone(self.authority):
            return self._tell(now)

    def _tell(self, now: dt.datetime) -> dict[str, str]:
        said = {}
        for vault in self.vaults:
            if vault.changed():
                vault.reload()
        vaults = {vault.folder.resolve(): vault for vault in self.vaults}
        for broker in self.brokers:
            try:
                vault = vaults.get(broker.vault.resolve()) or Vault.open(broker.vault)
                changes = broker.write(self.authority, vault.admitted(), now)
                states = {s for change in changes.values() for s in change.files.values()}
                if states != {"same"} and not broker.apply:
                    raise ToolError(
                        "written; nobody told it to read that",
                        "Once: vitalkeep site config --apply.",
                    )
                if states != {"same"}:
                    broker.have_it_read()
                said[str(broker.out)] = ""
            except ToolError as error:
                said[str(broker.out)] = f"{error.message}. {error.hint}"
        return said

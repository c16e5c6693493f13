"""What was on a board, kept on this computer before anything on it is erased."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vitalkeep.keys.private_files import write_file


@dataclass
class Saved:
    """One folder for one run; made when the first thing is saved. Key regions are secret."""

    parent: Path
    about: dict[str, Any]
    folder: Path | None = None
    files: list[dict[str, Any]] = field(default_factory=list)

    def keep(self, name: str, data: bytes, **facts: Any) -> Path:
        """Write one file, for its owner alone, and the list of all of them."""
        if self.folder is None:
            now = datetime.now(timezone.utc)
            self.folder = self.parent / now.strftime("%Y%m%dT%H%M%S.%fZ")
            self.folder.mkdir(parents=True, mode=0o700)
        path = self.folder / name
        write_file(path, data)
        row = {"file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        self.files.append(row | facts)
        listed = json.dumps(self.about | {"files": self.files}, indent=1).encode()
        write_file(self.folder / "saved.json", listed)
        return path

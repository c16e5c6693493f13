"""A file for whoever helps: report, events and configuration, without secrets and values."""

from __future__ import annotations

import io
import json
import platform
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vitalkeep.diagnose.events import Entry, iso
from vitalkeep.diagnose.probe import Verdict
from vitalkeep.diagnose.redact import Redactor
from vitalkeep.diagnose.report import Item, Report, build, lines_of
from vitalkeep.keys.private_files import write_file

_ABOUT = """\
A support file of Vitalkeep. report.txt is for people, report.json the same for machines,
events.jsonl what the gateway's log noticed, configuration.json what it was told. Keys, passwords,
the links' settings, what devices say of themselves and every measured value were left out when it
was made.
"""


def write_bundle(
    path: Path,
    report: Report,
    events: Sequence[Entry],
    configuration: dict[str, Any],
    redactor: Redactor,
    verdicts: Sequence[Verdict] = (),
    missing: Sequence[str] = (),
) -> list[str]:
    """Write the file, for its owner alone, and return the names of its members; raises ToolError.

    missing  what could not be had, in words
    """
    made = {"vitalkeep": version("vitalkeep"), "python": platform.python_version()}
    made |= {"system": platform.system(), "at": iso(report.at_ms), "by": report.by}
    # What is shown is made anew from what is left, so that no item has more than that.
    left = build(redactor.report(report.raw), report.by, report.at_ms)
    left.found = [Item(**redactor.plain(vars(item))) for item in report.found]
    probes = [redactor.plain(verdict.as_dict()) for verdict in verdicts]
    members = {
        "README.txt": _ABOUT,
        "about.json": _json(made | {"missing": list(missing)}),
        "report.txt": "".join(line + "\n" for line in lines_of(left, everything=True)),
        "report.json": _json(left.as_dict() | {"probes": probes}),
        "events.jsonl": "".join(
            json.dumps(redactor.event(entry.as_dict())) + "\n" for entry in events
        ),
        "configuration.json": _json(redactor.configuration(configuration)),
    }
    made_of = io.BytesIO()
    with zipfile.ZipFile(made_of, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    # Never readable by others, not for a moment, whatever had this name before.
    write_file(path, made_of.getvalue())
    return list(members)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"

"""Log lines for people, or one JSON object a line for programs. No patient's values in either."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timezone

from vitalkeep.settings.fields import setting

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@dataclass(frozen=True)
class LogSettings:
    """The hub's log, on stderr."""

    format: str = setting("text", "For people, or an object a line.", choices=("text", "json"))
    level: str = setting(
        "warning", "From where on.", choices=("debug", "info", "warning", "error")
    )


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, logger, message, and error where one was."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, timezone.utc)
        entry = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up(settings: LogSettings, verbose: bool = False) -> None:
    """Send the log of this process to stderr as the settings say."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter() if settings.format == "json" else logging.Formatter(_TEXT)
    )
    level = "INFO" if verbose else settings.level.upper()
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it counts its plug-ins

"""A gateway's words as JSON: one object of bounded depth, whoever it is that says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bridge.core.command_wire import ReplyPart
from vitalkeep.errors import ToolError

_DEPTH_MAX = 16  # a gateway nests four


def parse_object(data: bytes) -> dict[str, Any] | None:
    """Return the object in JSON, None where there is none, or one that nests too deep."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _is_flat(found, _DEPTH_MAX) else None


def _is_flat(value: Any, left: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    parts = value.values() if isinstance(value, dict) else value
    return left > 0 and all(_is_flat(part, left - 1) for part in parts)


def is_whole(parts: Mapping[int, ReplyPart]) -> bool:
    """Say whether all parts of a reply are there, by number."""
    return bool(parts) and len(parts) == next(iter(parts.values())).parts


def read_reply(do: str, parts: Mapping[int, ReplyPart]) -> dict[str, Any]:
    """Return the reply in all its parts; raises ToolError, also for a gateway that refuses."""
    reply = parse_object(b"".join(parts[part].data for part in sorted(parts)))
    if reply is None:
        raise ToolError(f"the gateway's reply to {do} makes no sense", "Ask again.")
    if "error" in reply:
        raise ToolError(f"the gateway refuses {do}: {reply['error']}", "Nothing was changed.")
    return reply

"""A probe of a site's broker by umqtt.simple; in one sentence what is broken, link or gateway."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from vitalkeep.diagnose import Asker, meanings
from vitalkeep.diagnose.meanings import BAD, OK, WARN, Meaning
from vitalkeep.errors import ToolError

_OVER_S = 75.0  # five stages of eight seconds, and a session that ends and comes back
_EVERY_S = 1.0
_BACK_TRIES = 8  # looks at a site that is to receipt again after the probe
_OURS = ("certificate_missing", "certificate_bad", "refused_in_handshake")
_STAGES = {
    "name": "the site's name",
    "connect": "the connection",
    "handshake": "TLS",
    "login": "the broker's answer to CONNECT",
    "session": "its answer to a PUBLISH",
}


@dataclass(frozen=True)
class Verdict:
    """What a probe tells.

    sentence  the verdict
    found     as the gateway says it (firmware/bridge/uplink/umqtt_probe.py)
    """

    state: str
    sentence: str
    action: str
    found: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": self.state, "sentence": self.sentence, "action": self.action,
            "probe": self.found,
        }  # fmt: skip


async def probe(asker: Asker, site: str) -> Verdict:
    """Have a gateway probe one of its sites; raises ToolError when it does not answer."""
    await asker.ask("probe", site=site)
    until = time.monotonic() + _OVER_S
    while time.monotonic() < until:
        await asyncio.sleep(_EVERY_S)
        try:
            found = (await asker.ask("probed"))["probe"]
        except ToolError:
            # Its own session with this broker pauses, and the next one is a new conversation.
            continue
        if found is not None and found["site"] == site and found["stage"] == "over":
            tries = _BACK_TRIES if not found["fault"] else 1
            return judge(found, await _is_receipted(asker, site, tries))
    raise ToolError(
        "the gateway began the probe and does not answer any more",
        "Ask again: vitalkeep diagnose; over USB, or at another site's broker.",
    )


async def _is_receipted(asker: Asker, site: str, tries: int) -> bool:
    """Say whether the site receipts once the gateway's own session has had time to come back."""
    for number in range(tries):
        if number:
            await asyncio.sleep(_EVERY_S)
        try:
            said = await asker.ask("report")
        except ToolError:
            continue
        if any(row["name"] == site and row["up"] for row in said.get("sites", [])):
            return True
    return False


def judge(found: dict[str, Any], receipts: bool) -> Verdict:
    """Return the verdict on what a probe found.

    receipts  whether the site receipts beside it
    """
    site, fault = found["site"], found["fault"]
    trip = sum(found["ms"].values())
    if not fault and receipts:
        text = f"Link, broker and gateway work: {site} took a publish in {trip} ms and receipts."
        return Verdict(OK, text, "", found)
    if not fault:
        text = (
            f"Link and broker work ({trip} ms), and {site} does not receipt what the gateway "
            "sends: the fault is in the hub behind the broker, or in the gateway."
        )
        action = "vitalkeep hub doctor at the site; does its vault have this gateway?"
        return Verdict(BAD, text, action, found)
    meaning = meanings.of_fault(fault)
    if fault in meanings.PROBE_FAULTS and fault != "no_link":
        text = f"Nothing can be told of {site}: {meaning.text}."
        return Verdict(WARN, text, meaning.action, found)
    if receipts:
        text = f"{site} receipts, and the probe failed: {meaning.text}."
        return Verdict(WARN, text, "Try again; the broker may let in one client at a time.", found)
    return Verdict(BAD, _broken(site, found, meaning), meaning.action, found)


def _broken(site: str, found: dict[str, Any], meaning: Meaning) -> str:
    stage = _STAGES.get(found["failed_in"], found["failed_in"])
    if found["fault"] == "no_link":
        return f"The link is broken, not the gateway: {meaning.text}."
    if found["fault"] in _OURS:
        return f"The gateway's certificate is broken, not the link: {meaning.text}."
    where = "The broker" if found["failed_in"] in ("login", "session") else "The link"
    if found["failed_in"] == "handshake":
        where = "TLS"
    return f"{where} is broken, not the gateway: at {stage} of {site}, {meaning.text}."

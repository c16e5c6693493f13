"""What the names mean that a gateway says, and what to do next (docs/guides/diagnose.md).

A name is a counter, a fault of a session, of a link or of a probe, a reset cause or an event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OK, WARN, BAD = "ok", "warn", "bad"
STATES = (OK, WARN, BAD)


@dataclass(frozen=True)
class Meaning:
    """state: how grave it is, one of STATES; text: what it means; action: what to do, or ""."""

    state: str
    text: str
    action: str = ""


def _bad(text: str, action: str) -> Meaning:
    return Meaning(BAD, text, action)


def _warn(text: str, action: str) -> Meaning:
    return Meaning(WARN, text, action)


def _fine(text: str) -> Meaning:
    return Meaning(OK, text)


_CERTIFICATE = "Issue the gateway a new certificate (vitalkeep ca issue gateway) and provision it."
_BROKER = "Look at the broker's own log; vitalkeep hub doctor looks at a site from inside."
_PATH = "Try the other link, then ask who runs the network between."

# How a session with a site, or a probe of its broker, ends (uplink/faults.py)
FAULTS = {
    "no_such_host": _bad("nobody knows the site's name", "Check the name, and the name servers."),
    "unreachable": _bad(
        "the network answers, and no broker is there: refused, or no route",
        "Is the broker running, and are host and port right?",
    ),
    "silent_in_connect": _bad(
        "nobody answers at the site's address: packets are swallowed",
        "A firewall, a wrong address, or a machine that is off: " + _PATH.lower(),
    ),
    "broken_in_connect": _bad("the connection breaks while it is made", _PATH),
    "silent_in_handshake": _bad(
        "connected, and TLS gets no answer", "Does the port speak TLS, and is the broker stuck?"
    ),
    "broken_in_handshake": _bad(
        "connected, and the peer hangs up during TLS",
        "A proxy or firewall in between, a broker that restarts, or one that refuses our "
        "certificate: its log tells.",
    ),
    "refused_in_handshake": _bad(
        "the broker refuses TLS: our certificate, or no version or cipher in common",
        _CERTIFICATE + " Was it revoked?",
    ),
    "no_tls": _bad("the peer does not speak TLS", "Is it the broker's TLS port?"),
    "certificate_missing": _bad("the gateway has no certificate", _CERTIFICATE),
    "certificate_not_yet_valid": _bad(
        "the site's certificate begins in the future: one of the two clocks is wrong",
        "Look at the clock in this report, then at the site's.",
    ),
    "certificate_expired": _bad("the site's certificate has ended", "Renew the site's."),
    "certificate_of_another": _bad(
        "the certificate is for another name: another site, or somebody in between",
        "Compare server_name with the certificate.",
    ),
    "certificate_untrusted": _bad(
        "the certificate is not of this ward's authority: another ward, or somebody in between",
        "Who answers at this address? Is the gateway of this ward?",
    ),
    "certificate_bad": _bad("the certificate cannot be used", _CERTIFICATE),
    "silent_in_login": _bad("TLS is there, and the broker does not answer MQTT", _BROKER),
    "broken_in_login": _bad(
        "the broker hangs up instead of an answer to CONNECT", _BROKER + " Is the gateway revoked?"
    ),
    "silent_in_session": _bad("the broker or the path fell silent in an open session", _PATH),
    "broken_in_session": _warn("a session broke: the broker or the path let go", _PATH),
    "refused": _bad(
        "the broker, or the hub by its silence, refuses this gateway",
        "Is it in the site's configuration (vitalkeep site config) and in the hub's vault, "
        "and not revoked?",
    ),
    "protocol": _bad("what answers is no MQTT broker", "Who listens at this port?"),
}

# Of a probe alone (uplink/umqtt_probe.py)
PROBE_FAULTS = {
    "no_umqtt": _warn(
        "umqtt.simple is not on the board",
        "mpremote mip install umqtt.simple; images built from boards/ have it.",
    ),
    "no_memory": _warn(
        "no memory for one more client", "Restart the gateway, then probe at once."
    ),
    "no_link": _bad("no link is up", "Look at the links in this report."),
    "busy": _warn("the gateway's own session would not end", "Try again."),
}

# Of links (uplink/nic.py, wlan.py, ppp.py, network.py)
LINK_FAULTS = {
    "cable_out": _bad("no carrier", "Plug, cable, switch port."),
    "starting": _fine("it is coming up"),
    "resting": _fine("it waits its turn: this board has one link up at a time"),
    "no_address": _bad(
        "the link is there and gives no address", "DHCP pool, VLAN of the port, filter."
    ),
    "wrong_password": _bad("the access point refuses the key", "Check ssid and key."),
    "no_access_point": _bad("no such network in reach", "Check ssid; the antenna; the place."),
    "wrong_security": _bad(
        "the network wants another kind of security", "WPA2 or WPA3 with a key."
    ),
    "access_point_refuses": _bad(
        "the access point refuses", "Too many clients, or a filter of addresses."
    ),
    "modem_silent": _bad("the modem does not answer", "Power, wires, baud."),
    "no_sim": _bad("no card, or a broken one", "Put the card in."),
    "sim_locked": _bad("the card asks for a PIN or PUK", "Turn the PIN off in a phone."),
    "no_network": _bad("no network found", "Antenna, coverage."),
    "network_refuses": _bad("the network refuses the card", "Is the card active?"),
    "apn_refused": _bad("the modem does not take the APN", "Check apn."),
    "modem_refuses": _bad("the modem refuses a command", "See its manual."),
    "no_carrier": _bad("the call was refused or ended", "Mostly a wrong APN."),
    "captive_portal": _bad(
        "a login page answers in the sites' place", "Have the gateway's address let through."
    ),
    "dns_gone": _warn(
        "no name server answers: sessions go to the last known addresses",
        "Check the name servers, or give sites by address.",
    ),
}

GRADES = {
    "good": _fine("it answers in time"),
    "slow": _warn("its round trip is above link_slow_ms", "Who else uses it?"),
    "lossy": _warn("it loses packets", "Cable, antenna, or a full network."),
    "unknown": _fine("too few answers yet"),
    "deaf": _bad("it is up and nothing comes back", _PATH),
    "down": _warn("it is down", "Look at its fault."),
}

RESETS = {
    "power-on": _fine("the power came back (a brown-out looks the same on ESP32)"),
    "hard": _fine("restarted by its own order, by its button, or after a crash (ESP32)"),
    "soft": _fine("restarted from its prompt"),
    "deep sleep": _warn(
        "it woke from deep sleep, which this firmware never enters", "Whose image?"
    ),
    "watchdog": _warn(
        "the watchdog bit, or an RP2 restarted by its own order: these look alike there",
        "Without an order in the log: a task hung or died; see restart_ and late_ counters.",
    ),
}

_LINE = "Look at the wiring: vitalkeep doctor; listen in: vitalkeep diagnose --sniff."
_FORGED = "Somebody tries keys, or a vault is older than the gateway: was it provisioned anew?"

COUNTERS = {
    "commands": _fine("authenticated commands were obeyed"),
    "command_forged": _warn("commands came under a wrong key", _FORGED),
    "command_malformed": _warn("commands came that are none", "Is the sender's release as new?"),
    "command_stale": _fine("commands came late or twice and were not obeyed"),
    "console_malformed": _fine("lines on the USB console were no requests"),
    "certificate_failed": _warn("a new certificate did not work and was given up", _CERTIFICATE),
    "clock_stepped": _fine("the clock was corrected by a step"),
    "dns_no_such_name": _warn("a name server knows no such name", "Check the sites' host."),
    "dns_silent": _warn("a name server did not answer", "Check links.dns; the network."),
    "hosts_not_kept": _warn("the last known addresses could not be kept in a file", "Is it full?"),
    "key_lost": _bad(
        "a class has no key: its log is shut", "Provision the gateway; its flash may be worn."
    ),
    "torn_keys": _fine("key slots were cut short by a power cut and were repeated"),
    "medium_errors": _bad("the flash refused", "Replace the board, or its flash chip."),
    "move_failed": _warn("moving a session to a better link failed", "Look at that link."),
    "link_changes": _fine("another link took over"),
    "radio_airtime_ms": _fine("time on the air"),
    "radio_answered": _fine("frames by radio were answered"),
    "radio_broken": _warn("the radio chip does not answer", "Its wires; its power."),
    "radio_forged": _warn("frames by radio came under a wrong key", _FORGED),
    "radio_frames": _fine("frames went by radio"),
    "radio_no_place": _fine("a frame had no room for all"),
    "radio_refused": _warn("the region's duty cycle was used up", "It waits; fewer alarms help."),
    "radio_stuck": _warn("the radio did not end a transmission", "Its wires; its power."),
    "receipt_forged": _warn("receipts came under a wrong key", _FORGED),
    "receipt_malformed": _warn("receipts came that are none", "Is the hub's release as new?"),
    "receipt_stale": _fine("receipts of an earlier session came late"),
    "receipt_stranger": _warn(
        "receipts came for another site or log", "Was the gateway provisioned anew?"
    ),
    "receipt_mismatch": _bad(
        "a site has other bytes than the flash", "Keep both: vitalkeep verify, journal inspect."
    ),
    "session_broken": _fine("sessions with sites ended in some way; the others say how"),
    "site_clock_not_synchronised": _warn("a site's clock is not set", "Run NTP at the site."),
    "sntp_kiss": _warn("an SNTP server asks to be left alone", "Use another server."),
    "sntp_malformed": _warn("an SNTP server answers nonsense", "Use another server."),
    "store_renewed": _warn(
        "a site lost what it had and is sent what is still held", "See why: vitalkeep verify."
    ),
    "time_forged": _warn("a time answer came under a wrong key", _FORGED),
    "time_malformed": _warn("a time answer was none", "Is the hub's release as new?"),
    "time_stale": _fine("a time answer came late"),
    "time_unanswered": _warn("a question for the time got no answer", "UDP to time_port open?"),
    "time_unsent": _fine("a question for the time could not be sent"),
    "time_absurd": _warn("a source told an impossible date", "Which one? See vitalkeep logs."),
    "site_time_refused": _warn(
        "a site's time was not believed", "Which clock is wrong, and since when? See the log."
    ),
    "sntp_refused": _warn("an SNTP answer was not believed", "Its server's clock; see the log."),
    "sntp_disagree": _warn("SNTP servers disagree, with no majority", "Name more servers."),
    "sntp_outlier": _warn("one SNTP server is off the others", "Use another server."),
    "forced_erases": _warn(
        "appends had to wait for an erase", "The log turns over fast: fewer waves, larger flash."
    ),
    "set_aside": _warn("sectors could not be read and were set aside", "Worn or cut; see logs."),
    "absurd_log_times": _warn("sectors carry times that cannot be", "See vitalkeep logs."),
    "lost_parameters": _bad(
        "values of observations did not fit any commit", "Tell us: the report has the driver."
    ),
    "keys_copied": _fine("the key region was cut short and its copy was used"),
    "lost_commits": _bad(
        "the flash refused commits wherever they were tried: values were lost",
        "Replace the board, or its flash chip.",
    ),
    "worn": _warn(
        "programs of the flash did not take and went elsewhere", "It ages: plan for it."
    ),
    "worn_sectors": _warn("sectors of the flash are worn out", "Plan to replace it."),
    "tls_room_missing": _warn(
        "room for a TLS session could not be taken back", "Restart it when that suits."
    ),
    "stall_ms_max": _fine("the longest that no task had a turn, in ms"),
    "left_out": _warn("the counters did not fit the heartbeat", "diagnose has them all."),
}

_DAMAGE = {
    "noise": _warn("bytes between messages made no sense", _LINE),
    "check": _warn("messages failed their check", _LINE),
    "length": _warn("messages had an impossible length", _LINE),
    "format": _warn("messages passed their check and made no sense", "Another model or release?"),
    "timeout": _warn("the device did not answer", "Is it on, and set to this protocol? " + _LINE),
    "refused": _warn("the device refused a request", "See the protocol's page: its settings."),
    "stranger": _warn("somebody spoke who is not configured", "Check units and devices."),
    "overruns": _bad(
        "bytes were lost: nobody took them in time", "Slower baud; see stall_ms_max."
    ),
    "framing": _warn("characters without a stop bit", "Speed, wires, ground. " + _LINE),
    "parity": _warn("characters of wrong parity", "Parity setting. " + _LINE),
    "breaks": _warn("the line was held low", "A cable was pulled, or the device was off."),
}

# Why another firmware was refused (docs/guides/update.md)
_AGAIN = "Bring it again: vitalkeep update."
_FIRMWARE = {
    "truncated": _warn("not all of a bundle had come", _AGAIN),
    "damaged": _warn("a byte of a bundle was another one", _AGAIN),
    "unsigned": _warn(
        "the ward's authority has not signed a bundle",
        "Sign it: vitalkeep update sign. Whose is it?",
    ),
    "board": _warn("a bundle was for another kind of board", "Build it for this one."),
    "mpy": _warn("a bundle was for another MicroPython", "Build it with this board's --mpy."),
    "image": _warn(
        "a patch was for an image with another firmware in it",
        "Build it with --patch and the folder of the firmware that this image has.",
    ),
    "config": _warn(
        "the configuration must be compiled anew for a bundle",
        "vitalkeep ward compile, configure.",
    ),
    "older": _warn("a bundle was older than what runs", "If it is meant: --older."),
    "unchecked": _warn("a bundle could not be checked: memory or flash", "Restart it; try again."),
}

_JOB = _warn("a part of the firmware failed and began anew", "See the last error; tell us.")
_LATE = _warn("a part of the firmware was silent for too long", "See stall_ms_max; tell us.")
_RENEWED = _warn("the link was begun anew", "It was stuck: see its fault.")

EVENTS = {
    "boot": "it started: why, and with which releases",
    "identity": "what a device says of itself",
    "site-up": "a site began to receipt",
    "site-down": "a site ceased to receipt; values are kept and sent later",
    "link-up": "a link came up",
    "link-down": "a link went down",
    "device-silent": "a device has said nothing for device_silent_ms",
    "device-back": "it speaks again",
    "set-aside": "sectors of the flash could not be read",
    "keys-lost": "a class goes on in a new key epoch",
    "worn": "the flash did not take what was programmed; it went elsewhere",
    "site-chosen": "classes B and C go there from now on",
    "store-renewed": "a site lost what it had",
    "certificate": "the gateway's certificate: ends soon, replaced, or failed",
    "time": "the clock: who set it, a step, or an answer that was refused",
    "link-chosen": "another link carries now, and why",
    "link-fault": "what is wrong with a link",
    "command": "somebody with the vault changed something",
    "configuration": "a new configuration was kept, or the old one came back",
    "firmware": "another firmware was refused, put on trial, kept or taken back",
    "radio": "the link of last resort",
    "radio-choice": "what went by radio and what had no room",
    "console": "the prompt on the USB console was opened, by whom, or closed",
    "probed": "an independent client tried a site's broker",
}


def tables() -> str:
    """Return the tables of docs/guides/diagnose.md."""
    parts = []
    for title, rows in (
        ("Ends of a session, and of a probe", FAULTS | PROBE_FAULTS),
        ("Faults of a link", LINK_FAULTS),
        ("Grades of a link", GRADES),
        ("Causes of a reset", RESETS),
        ("Counters of a line (`line0_...`)", _DAMAGE),
        ("Refusals of another firmware (`firmware_...`)", _FIRMWARE),
        ("Other counters", COUNTERS),
    ):
        lines = [f"### {title}", "", "| name | | what it means | what to do |"]
        lines.append("|---|---|---|---|")
        lines += [f"| `{n}` | {m.state} | {m.text} | {m.action} |" for n, m in rows.items()]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def of_counter(name: str) -> Meaning | None:
    """Return what a counter means, None for one that is not known."""
    if name in COUNTERS:
        return COUNTERS[name]
    if name.startswith("session_"):
        return FAULTS.get(name.removeprefix("session_"))
    if name.startswith("firmware_"):
        return _FIRMWARE.get(name.removeprefix("firmware_"))
    if name.startswith("restart_"):
        return _JOB
    if name.startswith("late_"):
        return _LATE
    found = re.fullmatch(r"link_[a-z0-9]+_(\w+)", name)
    if found:
        return _RENEWED if found[1] == "renewed" else LINK_FAULTS.get(found[1])
    found = re.fullmatch(r"line\d+_(\w+)", name)
    return _DAMAGE.get(found[1]) if found else None


def of_fault(name: str) -> Meaning:
    """Return what a fault of a session or probe means."""
    unknown = _warn(f"{name}: this release does not know it", "Use the release of the gateway.")
    return FAULTS.get(name) or PROBE_FAULTS.get(name) or unknown


def of_error(text: str) -> Meaning:
    """Return what the last error of a gateway means, by its first words."""
    found = re.match(r"site [^:]*: (\w+)(?::|$)", text)
    if found and found[1] != "move":
        return of_fault(found[1])
    if found:
        return COUNTERS["move_failed"]
    if text.startswith(("time:", "SNTP", "sntp")):
        return COUNTERS["time_unanswered"]
    if text.startswith("radio:"):
        return COUNTERS["radio_broken"]
    return _JOB

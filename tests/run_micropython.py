"""Run test files under MicroPython, each in a process of its own.

    python tests/run_micropython.py [--32] [FILES]

Without files: every one that `micropython_tests` finds. They are plain unittest and run on CPython
as well; what they import there from the standard library is in tests/shims here. With --32 they
run on a build for 32 bits, as boards have, compiled to WebAssembly.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_TIMEOUT_S = 280
_HEAP = "16M"  # a board has less; the tests that prove what is enough say so themselves
WASM32 = (
    ROOT / ".venv" / "micropython32" / "node_modules" / "@micropython"
    / "micropython-webassembly-pyscript"
)  # fmt: skip
_COPIED = (
    "firmware/bridge", "hil/power_cuts", "hil/virtual_board", "docs/formats",
    "tests/captures", "tests/shims", "tests/support", "tests/micropython32/shims",
)  # fmt: skip
_PATH = (ROOT / "firmware", ROOT, ROOT / "tests" / "shims", ".frozen")
_RAN = re.compile(r"^Ran (\d+) tests?\b", re.MULTILINE)
_CPYTHON_ONLY = re.compile(r"^\s*(?:import|from) (?:pytest|hypothesis|pathlib)\b", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What one file's process said."""

    passed: bool
    tests: int
    output: str


def micropython_command() -> str | None:
    """Return the path of the `micropython` command, None when this machine has none."""
    beside = Path(sys.executable).parent / "micropython"
    return str(beside) if beside.exists() else shutil.which("micropython")


def unix(file: Path) -> list[str] | None:
    """Return the command that runs a file on the unix port, None when there is none here."""
    command = micropython_command()
    return None if command is None else [command, "-X", f"heapsize={_HEAP}", str(file)]


def wasm32(file: Path) -> list[str] | None:
    """Return the command that runs a file on 32 bits, None when there is none here."""
    node = shutil.which("node")
    if node is None or not WASM32.is_dir():
        return None
    runner = ROOT / "tests" / "micropython32" / "run.mjs"
    return [node, str(runner), str(WASM32), str(ROOT), str(file), *_COPIED]


def core_tests() -> list[Path]:
    """Return the test files of the firmware's core, which also runs on MicroPython."""
    files = sorted((ROOT / "tests" / "firmware" / "core").rglob("test_*.py"))
    return [file for file in files if not _CPYTHON_ONLY.search(file.read_text("utf-8"))]


def micropython_tests() -> list[Path]:
    """Return the test files of everything that also runs on MicroPython."""
    files = sorted((ROOT / "tests" / "firmware" / "storage").glob("test_*.py"))
    files += sorted((ROOT / "tests" / "hil" / "virtual_board").glob("test_*.py"))
    files = [file for file in files if not _CPYTHON_ONLY.search(file.read_text("utf-8"))]
    return core_tests() + files


def run_file(arguments: list[str]) -> Outcome:
    """Run one file by the command of `unix` or `wasm32`; one that ran no test has failed."""
    environment = dict(os.environ, MICROPYPATH=":".join(str(part) for part in _PATH))
    try:
        done = subprocess.run(
            arguments,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode("utf-8", "replace")
        return Outcome(False, 0, f"{output}\nstopped after {_TIMEOUT_S} s\n")
    output = done.stdout.decode("utf-8", "replace")
    ran = _RAN.search(output)
    tests = int(ran[1]) if ran else 0
    if tests == 0:
        output += "\nno test ran: does the file end with unittest.main()?\n"
    return Outcome(done.returncode == 0 and tests > 0, tests, output)


def main(arguments: list[str]) -> int:
    build = wasm32 if "--32" in arguments else unix
    files = [Path(name).resolve() for name in arguments if name != "--32"]
    files = files or (core_tests() if build is wasm32 else micropython_tests())
    failed = total = 0
    for file in files:
        command = build(file)
        if command is None:
            print("no such MicroPython here: run `make test` once", file=sys.stderr)
            return 2
        outcome = run_file(command)
        name = os.path.relpath(file, ROOT)
        print(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.tests:4d} tests  {name}")
        if not outcome.passed:
            print(outcome.output)
        failed += not outcome.passed
        total += outcome.tests
    print(f"{total} tests in {len(files)} files on MicroPython, {failed} files failed")
    return 1 if failed or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

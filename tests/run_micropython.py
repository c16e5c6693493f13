"""Run test files under MicroPython, each in a process of its own.

    python tests/run_micropython.py [FILES]

Without arguments: every file that `micropython_tests` finds. The files are plain unittest and run
on CPython as well; what they import there from the standard library is in tests/shims here.
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
_PATH = (ROOT / "firmware", ROOT, ROOT / "tests" / "shims", ".frozen")
_RAN = re.compile(r"^Ran (\d+) tests?\b", re.MULTILINE)
_CPYTHON_ONLY = re.compile(r"^\s*(?:import|from) (?:pytest|hypothesis)\b", re.MULTILINE)


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


def micropython_tests() -> list[Path]:
    """Return the test files of everything that also runs on MicroPython."""
    files = sorted((ROOT / "tests" / "firmware" / "core").rglob("test_*.py"))
    files += sorted((ROOT / "tests" / "hil" / "virtual_board").glob("test_*.py"))
    return [file for file in files if not _CPYTHON_ONLY.search(file.read_text("utf-8"))]


def run_file(command: str, file: Path) -> Outcome:
    """Run one file; a file that ran no test has failed."""
    environment = dict(os.environ, MICROPYPATH=":".join(str(part) for part in _PATH))
    arguments = [command, "-X", f"heapsize={_HEAP}", str(file)]
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
    command = micropython_command()
    if command is None:
        print("no micropython command here: run `make setup` on Linux or macOS", file=sys.stderr)
        return 2
    files = [Path(name).resolve() for name in arguments] or micropython_tests()
    failed = total = 0
    for file in files:
        outcome = run_file(command, file)
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

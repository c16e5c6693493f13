"""The journal as a subject of `vitalkeep bench`: bytes, time, wear, mount and memory."""

import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from statistics import median
from typing import Any

import click

from bridge.core.journal.layout import FORMAT_VERSION, SECTOR_SIZE
from hil.bench import peers, size
from hil.bench.figures import LESS, MORE, Figure, Report, show
from hil.bench.flash_time import NO_CHIP, TYPICAL, WORST, Chip, percentile
from hil.bench.recording import Recording, find_recording, model_recording, read_recording
from hil.bench.runner import Runner

_PARTS = ("size", "append", "mount", "memory")

# Recordings, the intervals of commits in seconds, and what the design promises for each
_CASES: tuple[tuple[str, tuple[tuple[float, float], ...]], ...] = (
    ("or1_intellivue_1hz", ((1, 5.5), (5, 3.2))),
    ("or1_draeger_1hz", ((1, 9),)),
    ("bidmc_05_1hz", ((1, 4),)),
    ("wave_v102s_250hz_60s", ((1, 0.95),)),
)
_MONITOR = "or1_intellivue_1hz"  # whose 18 values are appended on MicroPython
_MOUNT_READ_MAX = 96 * 1024
_MOUNTED_SECTORS = (256, 1024)  # logs of 1 MiB and 4 MiB
_LITTLEFS = "littlefs, JSON lines"
_DAY_S = 86400
_COUNTED = 1000  # appends whose allocations are counted
_CONTROL = 1000  # bytes that the memory job allocates to try its own meter

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure.

    parts      of _PARTS
    trace      a CSV to measure in place of the usual recordings
    commits_s  intervals of commits in place of the usual ones
    seconds    appends on MicroPython, one observation a second
    sectors    to be sealed with each recording, at least
    repeats    of what is timed; medians are reported
    mounted    sectors of the logs that are mounted, smallest first
    """

    parts: tuple[str, ...] = _PARTS
    trace: Path | None = None
    commits_s: tuple[float, ...] = ()
    seconds: int = 3600
    sectors: int = 8
    repeats: int = 3
    mounted: tuple[int, ...] = _MOUNTED_SECTORS
    seed: int = 1
    micropython: str | None = None


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, not a table.")
@click.option(
    "--trace",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Measure this CSV: time_s and columns like SpO2[%].",
)
@click.option(
    "--commit",
    "commits_s",
    type=click.FloatRange(1, 60),
    multiple=True,
    help="Seconds a value may wait for its commit; 1: each row as it arrives.",
)
@click.option(
    "--seconds",
    type=click.IntRange(10, 86400),
    default=Plan.seconds,
    show_default=True,
    help="Observations appended on MicroPython, one a second.",
)
@click.option(
    "--sectors",
    type=click.IntRange(1, 200),
    default=Plan.sectors,
    show_default=True,
    help="Sectors to seal with each recording, at least.",
)
@click.option("--repeats", type=click.IntRange(1, 20), default=Plan.repeats, show_default=True)
@click.option("--part", "parts", type=click.Choice(_PARTS), multiple=True, help="Only this.")
@click.option("--seed", type=int, default=Plan.seed, show_default=True)
@click.option(
    "--micropython",
    type=click.Path(dir_okay=False, exists=True, executable=True, resolve_path=True),
    help="Another build of MicroPython.",
)
def journal(as_json: bool, parts: tuple[str, ...], **options: Any) -> None:
    """Measure the log on flash beside JSON lines, CBOR and littlefs."""
    plan = Plan(parts=parts or _PARTS, **options)
    report = measure(plan, lambda text: click.echo(text, err=True))
    show(report, as_json)


def measure(plan: Plan, tell: Tell) -> Report:
    """Do what the plan says; raises RigError when a tool is missing or an input is wrong."""
    report = Report(_context(plan))
    if "size" in plan.parts:
        _measure_sizes(plan, report, tell)
    if set(plan.parts) - {"size"}:
        recording = _monitor(plan)
        with tempfile.TemporaryDirectory(prefix="vitalkeep-bench-") as folder:
            command = {"command": plan.micropython} if plan.micropython else {}
            runner = Runner(Path(folder), **command)
            report.context["versions"]["micropython"] = runner.version()
            report.context["appended"] = recording.name
            for part, work in (
                ("append", _measure_appends),
                ("mount", _measure_mounts),
                ("memory", _measure_memory),
            ):
                if part in plan.parts:
                    work(plan, runner, recording, report, tell)
    return report


def _context(plan: Plan) -> dict[str, Any]:
    return {
        "subject": "journal",
        "command": shlex.join(["vitalkeep", *sys.argv[1:]]),
        "versions": {
            "vitalkeep": version("vitalkeep"),
            "format": FORMAT_VERSION,
            "python": python_version(),
            "cbor2": _version("cbor2"),
        },
        "seed": plan.seed,
        "sectors": plan.sectors,
        "seconds": plan.seconds,
        "repeats": plan.repeats,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# --- bytes ---


def _measure_sizes(plan: Plan, report: Report, tell: Tell) -> None:
    if peers.to_cbor is None:
        _skip(report, tell, "CBOR", "cbor2 is not installed: pip install cbor2")
    for recording, commits in _cases(plan, report, tell):
        for commit_s, limit in commits:
            tell(f"{recording.name}, a commit every {commit_s:g} s")
            _measure_size(plan, recording, commit_s, limit, report)


def _cases(
    plan: Plan, report: Report, tell: Tell
) -> list[tuple[Recording, list[tuple[float, float | None]]]]:
    """Return the recordings to measure, each with its intervals and their limits."""
    unlimited: list[tuple[float, float | None]] = [(s, None) for s in plan.commits_s or (1.0,)]
    if plan.trace:
        return [(read_recording(plan.trace), unlimited)]
    cases: list[tuple[Recording, list[tuple[float, float | None]]]] = []
    absent = False
    for name, promised in _CASES:
        path = find_recording(name)
        if path is None:
            absent = True
            _skip(report, tell, name, "not here; VITALKEEP_VITALS names the recordings' folder")
            continue
        limits = dict(promised)
        recording = read_recording(path)
        # Waveforms are committed a second at a time, whatever is asked for values.
        asked = () if recording.has_waves else plan.commits_s
        cases.append((recording, [(s, limits.get(s)) for s in asked or limits]))
    if absent:
        cases.append((model_recording(plan.seed), unlimited))
    return cases


def _skip(report: Report, tell: Tell, what: str, why: str) -> None:
    report.skipped[what] = why
    tell(f"SKIPPED {what}: {why}")


def _measure_size(
    plan: Plan, recording: Recording, commit_s: float, limit: float | None, report: Report
) -> None:
    name, unit = f"journal.bytes_per_s.{recording.name}.{commit_s:g}s", "B/s"
    if recording.has_waves:
        name, unit = f"journal.bytes_per_sample.{recording.name}", "B/sample"
    try:
        found = size.measure(recording, commit_s, plan.sectors, plan.seed)
    except size.Inexact as error:
        report.failures.append(f"{name}: {error}")
        report.figures.append(Figure(name, None, unit, note="read back wrong", limit=limit))
        return
    for peer in peers.PEERS:
        theirs, suffix = found.peers[peer], peers.SUFFIXES[peer]
        if theirs is not None:
            bound = None if suffix else limit
            report.figures.append(
                Figure(name + suffix, found.value, unit, LESS, peer, theirs, bound)
            )


# --- appends ---


def _monitor(plan: Plan) -> Recording:
    path = find_recording(_MONITOR)
    return read_recording(path) if path else model_recording(plan.seed)


def _measure_appends(
    plan: Plan, runner: Runner, recording: Recording, report: Report, tell: Tell
) -> None:
    ours, theirs = [], []
    for turn in range(plan.repeats):
        tell(f"appends on MicroPython, {turn + 1} of {plan.repeats}")
        ours.append(runner.run("append", recording, count=plan.seconds))
        theirs.append(runner.run("littlefs", recording, count=plan.seconds))
    add = report.figures.append

    def rate(runs: list[Any], chip: Chip) -> float:
        return median(1000 * run["count"] / sum(chip.times_ms(run)) for run in runs)

    for suffix, chip in (("", TYPICAL), (".python", NO_CHIP)):
        mine, peer = rate(ours, chip), rate(theirs, chip)
        add(Figure(f"journal.append_per_s{suffix}", mine, "/s", MORE, _LITTLEFS, peer))

    def part(runs: list[Any], chip: Chip, percent: float) -> float:
        return median(percentile(chip.times_ms(run), percent) for run in runs)

    for suffix, chip in (("", TYPICAL), (".worst_chip", WORST)):
        for label, percent in (("p50", 50), ("p99", 99), ("max", 100)):
            mine, peer = part(ours, chip, percent), part(theirs, chip, percent)
            name = f"journal.append_{label}_ms{suffix}"
            add(Figure(name, mine, "ms", peer=_LITTLEFS, peer_value=peer))
    erases = max(sum(run["erases_of"]) + run["forced_erases"] for run in ours)
    waited = max(sum(map(bool, run["erases_of"])) for run in theirs)
    add(
        Figure(
            "journal.append_erases",
            erases,
            "appends",
            peer=_LITTLEFS,
            peer_value=waited,
            limit=0,
        )
    )
    if erases:
        report.failures.append(f"journal.append_erases: {erases} appends waited for an erase")
    for fact, name, unit in (
        ("pages", "journal.programs_per_day", "page programs/day"),
        ("erases", "journal.erases_per_day", "erases/day"),
        ("bytes", "journal.bytes_programmed_per_day", "B/day"),
    ):
        mine, peer = (
            median(_DAY_S * run[fact] / run["count"] for run in runs) for runs in (ours, theirs)
        )
        add(Figure(name, mine, unit, peer=_LITTLEFS, peer_value=peer))


# --- mount ---


def _measure_mounts(
    plan: Plan, runner: Runner, recording: Recording, report: Report, tell: Tell
) -> None:
    tell("mounts on MicroPython")
    answer = runner.run("mount", recording, sectors=plan.mounted, repeats=plan.repeats)
    add = report.figures.append
    held = []
    for log in answer["logs"]:
        sectors, mounts = log["sectors"], log["mounts"]
        held.append(median(mount["held"] for mount in mounts))
        # A full log of 4 MiB is what the promise is about, and the figures without a suffix.
        is_promised = sectors == _MOUNTED_SECTORS[-1]
        suffix = "" if is_promised else f".{sectors * SECTOR_SIZE // 1024}k"
        read = max(mount["log_read"] for mount in mounts)
        limit = _MOUNT_READ_MAX if is_promised else None
        add(Figure(f"journal.mount_bytes_read{suffix}", read, "B", limit=limit))
        keys_read = max(mount["keys_read"] for mount in mounts)
        add(Figure(f"journal.mount_key_bytes_read{suffix}", keys_read, "B"))
        ms = median(mount["us"] for mount in mounts) / 1000
        add(Figure(f"journal.mount_ms{suffix}", ms, "ms"))
        add(Figure(f"journal.mount_held_bytes{suffix}", held[-1], "B"))
    if len(held) > 1:
        grown = (held[-1] - held[0]) / (plan.mounted[-1] - plan.mounted[0])
        add(Figure("journal.held_bytes_per_sector", grown, "B/sector"))


# --- memory ---


def _measure_memory(
    plan: Plan, runner: Runner, recording: Recording, report: Report, tell: Tell
) -> None:
    tell("memory on MicroPython")
    found = runner.run("memory", recording, count=_COUNTED)
    if found["control"] < _CONTROL:
        report.failures.append("journal.append_allocations: the meter misses an allocation")
    add = report.figures.append
    add(Figure("journal.append_allocations", found["allocating"], "of 1000 appends", limit=0))
    add(Figure("journal.append_allocated_bytes", found["bytes"], "B/1000 appends", limit=0))
    add(Figure("journal.opening_allocated_bytes", found["opening"], "B"))
    bits = found["word_bits"]
    add(
        Figure(
            "journal.working_set_bytes",
            found["held"] if bits == 32 else None,
            "B",
            note="" if bits == 32 else f"{found['held']} B on this {bits}-bit MicroPython",
        )
    )

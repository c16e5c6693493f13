"""`vitalkeep demo`: a simulated ward, real firmware end to end, and the account."""

import asyncio
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from hil.errors import RigError
from hil.story import SHORTEST_S, Report, Story
from hil.tasks import end_tasks
from hil.vitals import Sample, TraceError, TraceVitals, VitalsModel
from hil.ward import Ward

_LENGTH_S = 60.0


@click.command()
@click.option("--seconds", type=click.FloatRange(SHORTEST_S, 3600), help="End after the story.")
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object; no page.")
@click.option("--beds", type=click.IntRange(1, 12), default=3, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the patients' model.")
@click.option(
    "--trace",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Replay a CSV: time_s and columns like SpO2[%]. Others come from the model.",
)
@click.option(
    "--noise",
    type=click.FloatRange(0, 0.5),
    default=0.0,
    show_default=True,
    help="How often a message is spoilt on the lines that have a checksum.",
)
@click.option("--broker", metavar="URL", help="A real broker (mqtt://host:port), not our own.")
@click.option("--tls", is_flag=True, help="Certificates on both sides; needs mosquitto.")
@click.option("--database", metavar="URL", help="A real database, not SQLite.")
@click.option("--http", default="127.0.0.1:8321", show_default=True, help="Of the live page.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep flash, logs, database here.")
def demo(
    seconds: float | None,
    as_json: bool,
    beds: int,
    seed: int,
    trace: Path | None,
    noise: float,
    broker: str | None,
    tls: bool,
    database: str | None,
    http: str,
    keep: Path | None,
) -> None:
    """Run a simulated ward on the real firmware and break it on purpose.

    Without --seconds it goes on live after the story, until Ctrl-C.
    """
    if tls and broker:
        raise RigError("--tls brings a broker of its own.", "Leave out --broker, or --tls.")
    start = time.monotonic()

    def tell(text: str) -> None:
        click.echo(f"{time.monotonic() - start:5.1f} s  {text}", err=as_json)

    folder = keep or Path(tempfile.mkdtemp(prefix="vitalkeep-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        page = None if as_json else http
        ward = Ward(folder, _vitals(trace, seed), beds, broker, database, page, noise, tls)
        report = asyncio.run(_run(ward, seconds, tell))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if report is None:
        raise SystemExit(130 if seconds else 0)
    if as_json:
        click.echo(json.dumps(report.as_dict()))
    raise SystemExit(0 if report.good else 1)


def _vitals(trace: Path | None, seed: int) -> Callable[[int], Sample]:
    def patient(number: int) -> Sample:
        model = VitalsModel(seed + number)
        if trace is None:
            return model.sample
        replay = TraceVitals(trace, model.sample)
        # Beds replay the same recording, a minute apart.
        return lambda t_s: replay.sample(t_s + 60 * (number - 1))

    try:
        patient(1)
    except TraceError as error:
        raise RigError(str(error), "The form is described in the README.") from None
    return patient


async def _run(ward: Ward, seconds: float | None, tell: Callable[[str], None]) -> Report | None:
    """Run the story, and on for ever unless `seconds` bounds it; None when it was stopped."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    work = asyncio.create_task(_work(ward, seconds, tell))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return await work
        tell("stopping every process")
        return None
    finally:
        await end_tasks((work, stopping))
        await ward.close()


async def _work(ward: Ward, seconds: float | None, tell: Callable[[str], None]) -> Report:
    tell(f"starting a hub and {ward.count} beds on virtual boards")
    await ward.start()
    if ward.page:
        tell(f"the live page is at {ward.page}")
    report = await Story(ward, seconds or _LENGTH_S, tell).run(ends=seconds is not None)
    for line in sum_up(report):
        tell(line)
    if seconds is None:
        tell(f"it goes on live at {ward.page}; Ctrl-C ends it")
        while ward.still_running():
            await asyncio.sleep(1)
        raise RigError(
            "A process of the ward has died by itself.", "Run it again with --keep DIR."
        )
    return report


def sum_up(report: Report) -> list[str]:
    """Return the account in words."""
    total = report.total
    lines = [
        f"on the wire {total.produced} observations, at the hub {total.committed}; "
        f"lost {total.lost}, twice {total.duplicated}, invented {total.invented}",
        f"while a gateway had no power: {total.unheard} unheard, "
        f"{total.at_cut} not yet committed when it went",
    ]
    for cls, seconds in report.rto_s.items():
        lines.append(f"class {cls}: RTO {seconds} s, RPO {report.rpo_s[cls]} s")
    lines.append(f"seconds that nobody can explain: {report.unexplained_s:g}")
    lines.append("VERDICT: nothing lost" if report.good else "VERDICT: NOT GOOD")
    return lines

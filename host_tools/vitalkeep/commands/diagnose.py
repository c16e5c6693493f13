"""`vitalkeep diagnose`: how a gateway is and what that means, over USB or over MQTT."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from vitalkeep.commands.ca import json_option
from vitalkeep.commands.gateway import reach_options
from vitalkeep.errors import ToolError
from vitalkeep.shown import shown

_FILE = click.Path(path_type=Path, dir_okay=False)
_SECTORS = 2  # of each class, whose events go into a bundle
_BAD_EXIT = 1


@click.command()
@click.argument("gateway", required=False)
@reach_options
@click.option("--port", help="The board's serial port, for USB.")
@click.option("--sniff", type=int, metavar="UART", help="Listen in on a line, by its UART.")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(1, 600),
              help="For --sniff.")  # fmt: skip
@click.option("--probe", is_flag=True, help="Have umqtt.simple publish to each site's broker.")
@click.option("--site", help="For --probe: this site alone.")
@click.option("--bundle", type=_FILE, help="Write a support file, without secrets and values.")
@click.option("--interrupt", is_flag=True, help="With --port: stop the board's program and look.")
@json_option
def diagnose(
    gateway: str | None,
    port: str | None,
    sniff: int | None,
    seconds: float,
    probe: bool,
    site: str | None,
    bundle: Path | None,
    interrupt: bool,
    as_json: bool,
    **where: Any,
) -> None:
    """Say how a gateway is, what is wrong, and what to do about it.

    GATEWAY is its id or its bed. With --port it is the one at the USB cable, which goes on reading
    its devices and needs no key for a report; the vault's keys are needed for --sniff, --probe and
    --bundle. Else it is asked through --broker, that of one of its sites.

    Ends with 1 when something is bad, else with 0.
    """
    if interrupt and port is None:
        raise click.UsageError("--interrupt needs --port")
    if interrupt and (sniff is not None or probe):
        raise click.UsageError("--sniff and --probe ask a gateway that runs: without --interrupt")
    if sniff is not None and (probe or bundle):
        raise click.UsageError("--sniff goes alone")
    if interrupt:
        assert port is not None
        _interrupted(port, where["folder"], bundle, as_json)
    told = _quiet if as_json else _tell
    work = _Work(gateway, port, where, told)
    if sniff is not None:
        raise SystemExit(asyncio.run(work.sniff(sniff, seconds, as_json)))
    raise SystemExit(asyncio.run(work.report(probe, site, bundle, as_json)))


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _quiet(text: str) -> None:
    pass


class _Work:
    """One run of the command."""

    def __init__(
        self, gateway: str | None, port: str | None, where: dict[str, Any],
        told: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._gateway = gateway
        self._port = port
        self._where = where
        self._told = told
        self._folder: Path | None = where["folder"]

    async def _asker(self, stack: AsyncExitStack) -> tuple[Any, str]:
        """Return whom to ask, and "usb" or "mqtt"."""
        from vitalkeep.remote.conversation import over_mqtt, over_usb

        if self._port is not None:
            return stack.enter_context(over_usb(self._gateway, self._folder, self._port)), "usb"
        desk = await stack.enter_async_context(over_mqtt(self._gateway, **self._where))
        return desk, "mqtt"

    async def report(
        self, wants_probe: bool, site: str | None, bundle: Path | None, as_json: bool
    ) -> int:
        from vitalkeep.diagnose import take_report
        from vitalkeep.diagnose.meanings import BAD
        from vitalkeep.diagnose.probe import probe
        from vitalkeep.diagnose.report import lines_of

        verdicts = []
        async with AsyncExitStack() as stack:
            asker, by = await self._asker(stack)
            found = await take_report(asker, by)
            names = [row["name"] for row in found.raw.get("sites", [])]
            if site is not None and site not in names:
                raise ToolError(f"no site {site!r}", f"There are: {', '.join(names)}.")
            for name in (names if site is None else [site]) if wants_probe else []:
                self._told(f"probing the broker of {name}; our own session pauses meanwhile")
                verdicts.append(await probe(asker, name))
            if bundle is not None:
                await self._bundle(bundle, asker, found, verdicts)
        if as_json:
            probes = {"probes": [verdict.as_dict() for verdict in verdicts]}
            click.echo(json.dumps(found.as_dict() | probes))
        else:
            for line in lines_of(found):
                click.echo(line)
            for verdict in verdicts:
                click.echo(shown(f"{verdict.state:4} {verdict.sentence}"))
                if verdict.action:
                    click.echo(f"       -> {verdict.action}")
        states = [found.verdict, *(verdict.state for verdict in verdicts)]
        return _BAD_EXIT if BAD in states else 0

    async def _bundle(self, path: Path, asker: Any, found: Any, verdicts: list[Any]) -> None:
        from vitalkeep.diagnose.bundle import write_bundle
        from vitalkeep.diagnose.events import FromGateway
        from vitalkeep.diagnose.redact import Redactor, secrets_of
        from vitalkeep.remote.conversation import known_gateways

        known = known_gateways(self._folder).get(bytes.fromhex(found.gateway))
        configuration: dict[str, Any] = {}
        events, missing = [], []
        if known is not None:
            configuration = await asker.ask("configuration")
            self._told("reading the newest events from its flash")
            events = await FromGateway(asker, known, _SECTORS).fetch()
        else:
            missing.append("events and configuration: the gateway is not in the vault")
            self._told(f"not in it: {missing[0]} (--vault)")
        redactor = Redactor(secrets_of(configuration))
        names = write_bundle(path, found, events, configuration, redactor, verdicts, missing)
        self._told(f"{path}: {', '.join(names)}")

    async def sniff(self, uart: int, seconds: float, as_json: bool) -> int:
        from vitalkeep.commands.decode import sentence
        from vitalkeep.diagnose.sniff import Sniffer, line_of

        count = 0
        async with AsyncExitStack() as stack:
            asker, _ = await self._asker(stack)
            sniffer = Sniffer(asker, line_of(await asker.ask("configuration"), uart))
            self._told(
                f"listening in on uart {uart} for {seconds:g} s; these are patients' values"
            )
            async for heard in sniffer.listen(seconds):
                count += len(heard.data)
                if as_json:
                    click.echo(json.dumps(heard.as_dict()))
                    continue
                if heard.dropped:
                    click.echo(f"... {heard.dropped} bytes more than could be fetched")
                way = ">" if heard.sent else "<"
                click.echo(f"{heard.mono_ms / 1000:10.3f} {way} {heard.data.hex(' ')}")
                for text in heard.events:
                    click.echo(f"{'':13}{sentence(json.loads(text))}")
            about = sniffer.about
            self._told(f"{count} bytes, as {about['protocol']} at {about['baud']} Bd")
        return 0 if count else _BAD_EXIT


def _interrupted(port: str, folder: Path | None, bundle: Path | None, as_json: bool) -> None:
    from vitalkeep.board.mpremote import Mpremote
    from vitalkeep.diagnose.meanings import BAD
    from vitalkeep.diagnose.prompt import look
    from vitalkeep.diagnose.report import lines_of
    from vitalkeep.diagnose.usb import NoGateway, Usb
    from vitalkeep.remote.conversation import known_gateways

    try:
        with Usb(port) as usb:
            usb.greet()
        is_running = True
    except NoGateway:
        is_running = False
    found = look(Mpremote(port, lambda: known_gateways(folder)), is_running)
    if bundle is not None:
        from vitalkeep.diagnose.bundle import write_bundle
        from vitalkeep.diagnose.redact import Redactor

        missing = ["events and configuration: no gateway runs that could be asked"]
        write_bundle(bundle, found, [], {}, Redactor(), [], missing)
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        for line in lines_of(found):
            click.echo(line)
    raise SystemExit(_BAD_EXIT if found.verdict == BAD else 0)

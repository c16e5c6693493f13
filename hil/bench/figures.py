"""What a bench subject reports: figures beside a peer's, for machines and for people."""

import json
from dataclasses import dataclass, field
from typing import Any, NoReturn

import click

LESS, MORE = "less", "more"


@dataclass(frozen=True)
class Figure:
    """One measured number.

    value       None when it could not be measured or came out wrong; `note` says why
    better      LESS or MORE: which way is better
    peer        what else does the same work, with `peer_value` in the same unit
    limit       what the design promises; None where it promises nothing
    """

    name: str
    value: float | None
    unit: str
    better: str = LESS
    peer: str | None = None
    peer_value: float | None = None
    limit: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer, None where that cannot be said."""
        ours, theirs = self.value, self.peer_value
        if ours is None or theirs is None:
            return None
        over, under = (theirs, ours) if self.better == LESS else (ours, theirs)
        return over / under if under else None

    @property
    def met(self) -> bool | None:
        """Whether the limit holds, None where there is none or no value."""
        if self.limit is None or self.value is None:
            return None
        return self.value <= self.limit if self.better == LESS else self.value >= self.limit

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": _round(self.value),
            "unit": self.unit,
            "better": self.better,
            "peer": self.peer,
            "peer_value": _round(self.peer_value),
            "ratio": _round(self.ratio),
            "limit": self.limit,
            "met": self.met,
            "note": self.note,
        }


@dataclass
class Report:
    """All that one run has found.

    context   what a reader needs to do it again: command, versions, seed, sizes
    skipped   {what: why} of things that were not measured
    failures  what came out wrong; the run is good when there are none
    """

    context: dict[str, Any]
    figures: list[Figure] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        return {
            "figures": [figure.as_dict() for figure in self.figures],
            "skipped": self.skipped,
            "failures": self.failures,
            "good": self.good,
            "context": self.context,
        }

    def as_table(self) -> list[str]:
        """Return the lines of a table, and below it what is not in it."""
        rows = [("figure", "value", "unit", "peer", "its value", "times better", "limit")]
        for figure in self.figures:
            limit = _show(figure.limit)
            if figure.met is False:
                limit += " MISSED"
            value, theirs, ratio = map(_show, (figure.value, figure.peer_value, figure.ratio))
            rows.append((figure.name, value, figure.unit, figure.peer or "", theirs, ratio, limit))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(_pad, row, widths, range(len(row)))).rstrip() for row in rows]
        lines += [f"{figure.name}: {figure.note}" for figure in self.figures if figure.note]
        lines += [f"SKIPPED {what}: {why}" for what, why in self.skipped.items()]
        lines += [f"FAILED {failure}" for failure in self.failures]
        return lines


def _round(number: float | None) -> float | None:
    """Keep four significant digits, and whole numbers whole."""
    if number is None or isinstance(number, int):
        return number
    return float(f"{number:.4g}") if abs(number) < 1000 else round(number)


def _show(number: float | None) -> str:
    rounded = _round(number)
    if rounded is None:
        return ""
    return f"{rounded:,d}" if isinstance(rounded, int) else f"{rounded:g}"


def _pad(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column in (1, 4, 5) else text.ljust(width)


def show(report: Report, as_json: bool) -> NoReturn:
    """Print a report for machines or for people, and exit: 1 when something came out wrong."""
    if as_json:
        click.echo(json.dumps(report.as_dict()))
    else:
        for line in report.as_table():
            click.echo(line)
    raise SystemExit(0 if report.good else 1)

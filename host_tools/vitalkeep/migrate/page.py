"""A report as a page to read and to print: one file, nothing from elsewhere, no script. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

_SHOWN = 100
_STYLE = """
body { font: 16px/1.4 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { text-align: left; padding: .2em .8em .2em 0; border-bottom: 1px solid #ccc; }
td.n { text-align: right; }
.yes { color: #06612f; } .no { color: #a11212; }
code { overflow-wrap: anywhere; }
"""
_SERIES = (
    ("bed", "Bed"), ("device", "Device"), ("label", "Parameter"), ("unit", "Unit"),
    ("theirs", "Theirs"), ("ours", "Ours"), ("same", "Same"), ("different", "Different"),
    ("missing_here", "Missing here"), ("missing_there", "Missing there"),
    ("not_compared", "Not compared"),
)  # fmt: skip


def page(report: dict[str, Any], digest: str, signer: str | None) -> str:
    """Return HTML.

    digest  SHA-256 of report.json, which this page is made of
    signer  the hub that signed that, None for nobody
    """
    switch = "The switch can be made." if report["switch"] else "The switch cannot be made yet."
    tone = "yes" if report["switch"] else "no"
    what = report.get("system") or report.get("source") or ""
    parts = [
        f"<h1>Migration from {escape(str(what))}</h1>",
        f'<p class="{tone}"><strong>{switch}</strong></p>',
        f"<p>Made {escape(report['made'])} at site {escape(report['site'])}.</p>",
        _table(
            ("", "Condition", "Found"),
            ((_mark(c["holds"]), c["name"], c["text"]) for c in report["conditions"]),
        ),
    ]
    if "series" in report:
        parts += [
            f"<h2>{escape(report['since'])} to {escape(report['until'])}</h2>",
            _table(
                [title for _, title in _SERIES],
                ([one[name] for name, _ in _SERIES] for one in report["series"]),
            ),
            "<p>Values of the other system were sealed by no gateway, and are kept apart.</p>",
        ]
    findings = report.get("findings", [])
    if findings:
        names = list(findings[0])
        parts.append(f"<h2>Findings ({min(len(findings), _SHOWN)} of {len(findings)})</h2>")
        rows = ([one[name] for name in names] for one in findings[:_SHOWN])
        parts.append(_table([name.capitalize() for name in names], rows))
    signed = f"signed by {escape(signer)}" if signer else "not signed"
    parts.append(f"<p>report.json, {signed}, has SHA-256 <code>{digest}</code>.</p>")
    title = f"Migration from {escape(str(what))}"
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>\n'
        + "\n".join(parts)
        + ("\n</body></html>\n")
    )


def _mark(holds: bool) -> str:
    return "holds" if holds else "DOES NOT HOLD"


def _table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["<table><tr>" + "".join(f"<th>{escape(title)}</th>" for title in titles) + "</tr>"]
    for row in rows:
        cells = (
            f'<td class="n">{cell}</td>'
            if isinstance(cell, int)
            else f"<td>{escape(str(cell))}</td>"
            for cell in row
        )
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "\n".join(lines) + "</table>"

"""Every command, protocol, board, field and format that exists is written about."""

import re
from importlib.metadata import entry_points
from pathlib import Path

from bridge.core.config import FIELDS
from bridge.core.journal import records
from bridge.core.protocols import PROTOCOLS
from vitalkeep.decoding.tables import PAGES
from vitalkeep.hub.config.load import sections

ROOT = Path(__file__).resolve().parent.parent
DOCS = {path: path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]}
ALL = "\n".join(DOCS.values())


def test_every_command_is_in_a_guide() -> None:
    for command in entry_points(group="vitalkeep.commands"):
        assert f"vitalkeep {command.name}" in ALL, command.name
    for command in entry_points(group="vitalkeep.hub.commands"):
        assert f"vitalkeep hub {command.name}" in ALL, command.name


def test_every_section_of_hub_toml_is_in_a_guide() -> None:
    for name in sections():
        assert f"| `{name}` |" in DOCS[ROOT / "docs" / "guides" / "hub.md"], name


def test_every_protocol_has_a_page() -> None:
    for name in PROTOCOLS:
        text = (ROOT / "docs" / "protocols" / f"{name}.md").read_text()
        for word in ("Wiring", "Port", "What is sent", "What is not covered", "Sureness"):
            assert f"**{word}.**" in text, (name, word)


def test_generated_pages_are_what_the_tables_say() -> None:
    for name, page in PAGES.items():
        text = (ROOT / "docs" / "protocols" / f"{name}.md").read_text()
        assert text == page(), f"vitalkeep protocols --page {name} > docs/protocols/{name}.md"


def test_every_field_is_documented_with_its_default_and_range() -> None:
    text = (ROOT / "docs" / "guides" / "configuration.md").read_text()
    for name, default, low, high, unit in FIELDS:
        assert f"| `{name}` | {default} | {low} to {high} {unit} |" in text, name


def test_every_record_kind_is_drawn() -> None:
    text = DOCS[ROOT / "docs" / "formats" / "log.md"]
    for kind in range(records.WAVEFORM + 1):
        assert f"\n| {kind} | " in text


def test_links_between_pages_lead_somewhere() -> None:
    for path, text in DOCS.items():
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text):
            assert (path.parent / target).exists(), (path.name, target)


def test_no_page_is_without_a_way_to_it() -> None:
    for path in DOCS:
        if path.name != "README.md" and path.parent.name != "decisions":
            assert path.name in ALL.replace(DOCS[path], ""), path.name

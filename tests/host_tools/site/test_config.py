"""`vitalkeep ca` and `vitalkeep site config` as an engineer uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vitalkeep import cli
from vitalkeep.keys import pkcs8
from vitalkeep.keys.vault import Vault
from vitalkeep.site.nats import subject

A, B, C = "a" * 16, "b" * 16, "c" * 16


class Desk:
    """An engineer's machine: a data folder, a vault, a passphrase in a file."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.capsys = capsys
        self.secret = root / "passphrase"
        self.secret.write_text("correct horse battery\n")
        self.secret.chmod(0o600)
        self.vault = Vault.create(root / "vault")
        for gateway in (A, B):
            self.vault.add_gateway(bytes.fromhex(gateway), "bed-" + gateway[0])

    def run(self, *arguments: object, code: int = 0) -> tuple[str, str]:
        """Run a command; returns what it said on stdout and on stderr."""
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        said = self.capsys.readouterr()
        assert (ended.value.code or 0) == code, said.err
        return said.out, said.err

    def ca(self, *arguments: object, code: int = 0) -> dict:
        """Run a command that signs, and return its JSON."""
        more = () if arguments[0] == "list" else ("--passphrase-file", self.secret)
        ca = ("--ca", self.root / "ca", "--json")
        out, _ = self.run("ca", *arguments, *ca, *more, code=code)
        return json.loads(out) if out else {}

    def config(self, broker: str = "mosquitto") -> dict:
        out, _ = self.run(
            *("site", "config", "--broker", broker, "--out", self.root / broker, "--json"),
            *("--ca", self.root / "ca", "--vault", self.root / "vault"),
        )
        return json.loads(out)

    def text(self, name: str) -> str:
        return (self.root / name).read_text()


@pytest.fixture
def desk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Desk:
    monkeypatch.setattr(pkcs8, "_N", 2)  # scrypt takes a fifth of a second, on purpose
    monkeypatch.delenv("VITALKEEP_CA_PASSPHRASE", raising=False)
    made = Desk(tmp_path, capsys)
    made.ca("create", "--name", "Ward 3")
    for broker in ("mosquitto", "nats"):
        made.ca(
            *("issue", "site", "primary", "--host", "10.0.0.5"),
            *("--out", tmp_path / broker / "tls"),
        )
    made.ca("issue", "hub", "primary", "--out", tmp_path / "hub")
    made.ca("issue", "gateway", A, "--out", tmp_path / A)
    return made


def test_second_writing_changes_nothing_and_says_so(desk: Desk) -> None:
    first = desk.config()
    assert set(first["files"].values()) == {"new", "same"}
    assert first["came"] == [A, "hub-primary"]
    assert first["missing"] == [B]
    assert "mosquitto -c" in first["advice"]
    second = desk.config()
    assert set(second["files"].values()) == {"same"}
    assert second["came"] == second["gone"] == []
    assert second["advice"] == ""


def test_new_gateway_and_revoked_one_are_told(desk: Desk) -> None:
    desk.config()
    desk.ca("issue", "gateway", B, "--out", desk.root / B)
    desk.ca("revoke", A)
    change = desk.config()
    assert (change["came"], change["gone"]) == ([B], [A])
    assert change["missing"] == [A]
    changed = {name for name, state in change["files"].items() if state == "changed"}
    assert changed == {"acl", "crl.pem", "users.json"}
    assert "HUP" in change["advice"]
    assert f"user {B}\n" in desk.text("mosquitto/acl")
    assert A not in desk.text("mosquitto/acl")


def test_gateway_that_the_vault_does_not_know_is_left_out(desk: Desk) -> None:
    desk.ca("issue", "gateway", C, "--out", desk.root / C)
    change = desk.config()
    assert change["strange"] == [C]
    assert C not in desk.text("mosquitto/acl")


def test_acl_names_each_ones_own_topics(desk: Desk) -> None:
    desk.ca("issue", "relay", C, "--out", desk.root / "relay")
    desk.config()
    acl = desk.text("mosquitto/acl").split("user ")[1:]
    entries = {entry.split("\n")[0]: entry.split("\n")[1:] for entry in acl}
    assert [line for line in entries[A] if line] == [
        f"topic write vk/{A}/log/+",
        f"topic write vk/{A}/health",
        f"topic write vk/{A}/state",
        f"topic write vk/{A}/reply",
        f"topic read vk/{A}/receipt",
        f"topic read vk/{A}/command",
    ]
    assert [line for line in entries[f"relay-{C}"] if line] == [
        f"topic write vk/{C}/radio",
        f"topic read vk/{C}/air",
    ]
    assert "topic write vk/+/receipt" in entries["hub-primary"]


def test_nats_knows_each_certificate_and_forgets_the_revoked(desk: Desk) -> None:
    desk.config("nats")
    desk.ca("renew", A, "--out", desk.root / "renewed")
    desk.config("nats")
    assert desk.text("nats/users.conf").count(f":gateway:{A}:") == 2
    desk.ca("revoke", A, "--superseded")
    change = desk.config("nats")
    assert change["files"]["users.conf"] == "changed"
    text = desk.text("nats/users.conf")
    assert text.count(f":gateway:{A}:") == 1
    newest = desk.ca("list")["certificates"][0]
    assert (newest["name"], newest["serial"] in text) == (A, True)
    assert f'"vk.{A}.log.*"' in text
    assert subject("vk/+/log/+") == "vk.*.log.*"


def test_list_tells_what_ends_soon(desk: Desk) -> None:
    desk.ca("issue", "gateway", B, "--days", 20, "--out", desk.root / B)
    names = [row["name"] for row in desk.ca("list", "--within", 30)["certificates"]]
    assert names == [B]
    out, _ = desk.run("ca", "list", "--ca", desk.root / "ca")
    assert "ends soon" in out
    made = desk.ca("renew", "--within", 30, "--out", desk.root / "renewed")
    assert [row["name"] for row in made["issued"]] == [B]
    assert (desk.root / "renewed" / B / "key.der").exists()
    assert desk.ca("renew", "--within", 10, "--out", desk.root / "none") == {"issued": []}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ca", "issue", "gateway", B, "--out", A), "there is a key already"),
        (("ca", "issue", "gateway", "bed-1", "--out", "x"), "want 16 hex digits"),
        (("ca", "renew", B, "--out", "x"), "no live certificate"),
        (("ca", "renew", "--out", "x"), "nothing to renew"),
        (("ca", "revoke", B), "no such certificate"),
        (("ca", "create", "--name", "Ward 4"), "already"),
    ],
)
def test_mistakes_are_two_lines(arguments: tuple[str, ...], message: str, desk: Desk) -> None:
    given = [desk.root / a if p == "--out" else a for p, a in zip(("", *arguments), arguments)]  # noqa: B905
    ca = ("--ca", desk.root / "ca", "--passphrase-file", desk.secret)
    _, err = desk.run(*given, *ca, code=1)
    assert message in err
    assert len(err.strip().splitlines()) == 2


def test_site_without_its_certificate_is_told_how_to_get_one(desk: Desk) -> None:
    for file in (desk.root / "mosquitto" / "tls").iterdir():
        file.unlink()
    ca = ("--ca", desk.root / "ca", "--vault", desk.root / "vault")
    asked = ("site", "config", "--broker", "mosquitto", "--out", desk.root / "mosquitto", *ca)
    assert "vitalkeep ca issue site" in desk.run(*asked, code=1)[1]
    desk.ca("issue", "hub", "b", "--out", desk.root / "mosquitto" / "tls")
    assert "found one hub" in desk.run(*asked, code=1)[1]


def test_passphrase_is_never_asked_for_where_nobody_can_answer(desk: Desk) -> None:
    desk.secret.chmod(0o644)
    asked = ("ca", "issue", "gateway", B, "--ca", desk.root / "ca", "--out", desk.root / B)
    assert "lets others in" in desk.run(*asked, "--passphrase-file", desk.secret, code=1)[1]
    assert "no passphrase of the authority" in desk.run(*asked, code=1)[1]
    assert not (desk.root / B).exists()


def test_a_cluster_is_three_folders_and_each_server_has_its_own_certificate(desk: Desk) -> None:
    nodes = []
    for name in "abc":
        host = f"nats-{name}.example"
        desk.ca(
            *("issue", "node", name, "--host", host),
            *("--out", desk.root / "cluster" / name / "tls"),
        )
        nodes += ["--cluster", f"{name}={host}"]
    arguments = ("site", "config", "--broker", "nats", "--out", desk.root / "cluster", *nodes)
    places = ("--ca", desk.root / "ca", "--vault", desk.root / "vault", "--path", "/etc/nats")
    out, _ = desk.run(*arguments, *places, "--json")
    changes = json.loads(out)
    assert sorted(changes) == ["a", "b", "c"]
    assert changes["b"]["advice"] == "Start it: nats-server -c /etc/nats/b/nats.conf"
    text = desk.text("cluster/b/nats.conf")
    assert '"/etc/nats/b/tls/key.pem"' in text
    assert '"nats-route://nats-c.example:6222"' in text
    assert A in desk.text("cluster/c/users.conf")
    said, _ = desk.run(*arguments, *places)
    assert "new " not in said
    _, error = desk.run(*arguments[:3], "mosquitto", *arguments[4:], *places, code=1)
    assert "mosquitto has none" in error

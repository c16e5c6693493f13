"""The hub's image, built from its recipe, and a hub in it that may do no more than it needs."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.support.hub import FakeGateway
from tests.support.hub_process import HubProcess, Online
from tests.support.needs import find_program
from tests.support.secure_site import HOST, SecureSite, as_pem
from vitalkeep.keys.vault import Vault

pytestmark = [pytest.mark.podman, pytest.mark.mosquitto]

ROOT = Path(__file__).resolve().parents[2]
USER = 10001
# Whom this machine trusts: a package index may be behind a proxy with an authority of its own.
TRUSTED = "/etc/ssl/certs"
PIP = "[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n"


def podman(*arguments: str) -> list[str]:
    program = find_program("podman")
    runtime = find_program("runc", "crun")
    assert program is not None
    assert runtime is not None
    return [program, "--cgroup-manager", "cgroupfs", "--runtime", runtime, *arguments]


def outcome(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT)


def run(*arguments: str) -> str:
    done = outcome(podman(*arguments))
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def shut_in(image: str, *options: str) -> list[str]:
    """Return the command that runs a container as the guide says, in this machine's network."""
    return podman(
        *("run", "--rm", "--network", "host", "--read-only", "--cap-drop", "all"),
        *("--security-opt", "no-new-privileges", "--no-healthcheck"),
        # podman would raise them, which not every root may do.
        *("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"),
        *(*options, image),
    )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pip = tmp_path_factory.mktemp("image") / "pip.conf"
    pip.write_text(PIP)
    name = f"localhost/vitalkeep:{uuid.uuid4().hex}"
    build = ["build", "--isolation", "chroot", "--pull=never", "--layers=false", "--tag", name]
    for mount in (f"{TRUSTED}:{TRUSTED}:ro", f"{pip}:/etc/pip.conf:ro"):
        build += ["--volume", mount]
    run(*build, "--file", "host_tools/deploy/Containerfile", ".")
    yield name
    run("rmi", "--force", name)


class HubContainer(HubProcess):
    """A hub in a container, whose volume is the folder; what it reads besides is in `readable`."""

    def __init__(self, image: str, folder: Path, readable: Path, *arguments: str) -> None:
        super().__init__(folder, *arguments)
        self._image = image
        self._readable = readable

    def program(self) -> list[str]:
        self.name = f"vitalkeep-{uuid.uuid4().hex}"
        return shut_in(
            self._image,
            *("--name", self.name, "--hostname", self.name),
            *("--volume", f"{self.folder}:/var/lib/vitalkeep"),
            *("--volume", f"{self._readable}:/etc/vitalkeep:ro"),
        )

    def process(self) -> dict[str, str]:
        """Return what the kernel says of the hub's process."""
        text = run("exec", self.name, "cat", "/proc/1/status")
        return dict(line.split(":\t", 1) for line in text.splitlines())

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        run("rm", "--force", "--ignore", self.name)


def own(folder: Path) -> None:
    """Give a folder and all in it to the image's user."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER)


def ask(hub: HubProcess, path: str) -> tuple[int, str]:
    try:
        with urlopen(hub.where["http"] + path, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_image_holds_the_hub_and_nothing_to_build_with(image: str) -> None:
    said = outcome([*shut_in(image, "--entrypoint", "vitalkeep"), "--version"])
    assert said.stdout == f"vitalkeep, version {version('vitalkeep')}\n", said.stderr
    look = "cd /opt/vitalkeep; find . ! -user root -o ! -type l -perm /022; ls -d /source bin/pip*"
    assert outcome([*shut_in(image, "--entrypoint", "sh"), "-c", look]).stdout == ""
    assert run("image", "inspect", image, "--format", "{{.User}}") == f"{USER}:{USER}\n"


def test_hub_in_a_container_goes_on_with_its_volume_over_a_restart(
    image: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    vault = Vault.create(data / "vault")
    gateway = FakeGateway(site=vault.site_id)
    entry = gateway.vault_entry()
    vault.add_gateway(entry.id, entry.bed, entry.root, entry.logs[0])
    site = SecureSite(tmp_path / "site", "mosquitto")
    site.gateway(gateway.id.hex(), tmp_path / "gateway")
    own(data)
    own(site.hub)
    arguments = ["--broker", f"mqtts://{HOST}:{site.port}"]
    for name in ("ca", "certificate", "key"):
        arguments += [f"--{name}", f"/etc/vitalkeep/{name}.pem"]
    hub = HubContainer(image, data, site.hub, *arguments)
    runs = []
    with site.running():
        for _ in range(2):
            with hub:
                online = Online(gateway, hub.broker, site.context(as_pem(tmp_path / "gateway")))
                gateway.observe(p1=97)
                online.talk(online.settled)
                online.client.close()
                assert ask(hub, "/healthz")[0] == 200
                assert ask(hub, "/readyz") == (200, '{"ready":true,"why":[]}')
                runs.append(hub.health()["counters"]["runs"])
                process = hub.process()
                assert process["Uid"].split() == process["Gid"].split() == [str(USER)] * 4
                assert int(process["CapEff"], 16) == int(process["CapBnd"], 16) == 0
                assert process["NoNewPrivs"] == "1"
                assert hub.stop() == 0
            gateway.connect()
    assert runs == [3, 1], "a boot in each class, and then what is new alone"

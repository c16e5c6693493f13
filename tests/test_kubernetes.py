"""The manifests in docs/kubernetes are what Kubernetes takes, and what the hub reads."""

from __future__ import annotations

import re
import socket
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from vitalkeep.commands.hub import hub
from vitalkeep.hub.config.basics import BrokerSettings, DatabaseSettings
from vitalkeep.hub.config.load import parse
from vitalkeep.site.rights import RIGHTS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))


def resources(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def find(path: Path, kind: str) -> dict[str, Any]:
    return next(found for found in resources(path) if found["kind"] == kind)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_manifest_fits_the_public_schema(path: Path) -> None:
    for resource in resources(path):
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_mounted_and_selected_is_there(path: Path) -> None:
    made = find(path, "StatefulSet")
    pod = made["spec"]["template"]["spec"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in [*pod["containers"], *pod.get("initContainers", ())]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    names = {(found["kind"], found["metadata"]["name"]) for found in resources(path)}
    assert ("Service", made["spec"]["serviceName"]) in names
    for volume in pod["volumes"]:
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in names
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert made["spec"]["selector"]["matchLabels"] == labels


def test_the_hub_reads_its_configuration_and_knows_its_options() -> None:
    path = FOLDER / "hub.yaml"
    config = parse(find(path, "ConfigMap")["data"]["hub.toml"])
    assert config[DatabaseSettings].url.startswith("postgresql://"), "workers share a database"
    assert config[BrokerSettings].url == "mqtts://emqx.vitalkeep.svc:8883"
    pod = find(path, "StatefulSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    known = {option for parameter in hub.params for option in parameter.opts}
    assert {word for word in container["args"] if word.startswith("--")} <= known
    script = pod["initContainers"][0]["args"][0]
    for place in (config[BrokerSettings].key, config[DatabaseSettings].password):
        folder = str(place).removeprefix("file:").rpartition("/")[0]
        assert folder in script, "what the configuration names is put there"


def test_the_pod_is_of_the_image_that_the_recipe_makes() -> None:
    recipe = (ROOT / "host_tools" / "deploy" / "Containerfile").read_text()
    pod = find(FOLDER / "hub.yaml", "StatefulSet")["spec"]["template"]["spec"]
    (user,) = re.findall(r"^USER (\d+):\1$", recipe, re.M)
    owner = {name: pod["securityContext"][name] for name in ("runAsUser", "runAsGroup", "fsGroup")}
    assert set(owner.values()) == {int(user)}
    (tag,) = re.findall(r"podman build .* -t (\S+) ", recipe)
    assert tag == f"vitalkeep:{version('vitalkeep')}"
    assert {made["image"] for made in (*pod["containers"], *pod["initContainers"])} == {tag}
    (hub_container,) = pod["containers"]
    (port,) = hub_container["ports"]
    assert f"EXPOSE {port['containerPort']}/tcp" in recipe


def test_keys_are_copied_for_the_hub_alone_and_again_when_a_pod_begins_anew(
    tmp_path: Path,
) -> None:
    pod = find(FOLDER / "hub.yaml", "StatefulSet")["spec"]["template"]["spec"]
    script = pod["initContainers"][0]["args"][0]
    for place in ("/secrets", "/run/vault"):
        script = script.replace(place, str(tmp_path) + place)
    own = f"tls-{socket.gethostname()}"
    for name in ("vault/vault.json", f"{own}/key.pem", f"{own}/ca.pem", "database/password"):
        secret = tmp_path / "secrets" / name
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text(name)
    there = tmp_path / "run" / "vault"
    there.mkdir(parents=True)
    there.chmod(0o2777)  # as Kubernetes does for fsGroup
    for _ in range(2):
        subprocess.run([*pod["initContainers"][0]["command"], script], check=True, timeout=60)
    files = {str(path.relative_to(there)): path for path in there.rglob("*") if path.is_file()}
    assert set(files) == {"vault/vault.json", "tls/key.pem", "tls/ca.pem", "database.password"}
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
    assert (there / "vault").stat().st_mode & 0o777 == 0o700


def test_emqx_lets_each_role_do_what_it_may() -> None:
    acl = find(FOLDER / "emqx.yaml", "ConfigMap")["data"]["acl.conf"]
    for role in ("gateway", "hub"):
        for topics in RIGHTS[role]:
            for topic in topics:
                assert f'"{topic.format(id="${username}")}"' in acl, (role, topic)

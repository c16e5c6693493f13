"""The manifests in docs/kubernetes are what Kubernetes takes, and what the hub reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from vitalkeep.commands.hub import hub
from vitalkeep.hub.config.basics import BrokerSettings, DatabaseSettings
from vitalkeep.hub.config.load import parse
from vitalkeep.site.rights import RIGHTS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "kubernetes"
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


def test_emqx_lets_each_role_do_what_it_may() -> None:
    acl = find(FOLDER / "emqx.yaml", "ConfigMap")["data"]["acl.conf"]
    for role in ("gateway", "hub"):
        for topics in RIGHTS[role]:
            for topic in topics:
                assert f'"{topic.format(id="${username}")}"' in acl, (role, topic)

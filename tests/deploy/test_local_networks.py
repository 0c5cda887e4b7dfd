"""What the files of the local networks say of each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from relayminer.devnet.describe import describe
from relayminer.devnet.options import DevnetOptions
from relayminer.devnet.server import make_chain
from tests.deploy.test_deploy import TILT, compose

PORTS = {
    *(3000, 3069, 3100, 6379, 8180, 8280, 8545, 9090, 9091, 9092, 9095, 9096, 9190),
    *(18545, 19095, 26657, 50051, 60051),
}
"""Of the host, where the Go implementation's local network has the same things."""


def documents(name: str) -> list[dict[str, Any]]:
    """The documents of a file of the cluster."""
    return list(yaml.safe_load_all((TILT / "k8s" / name).read_text()))


def options_of(arguments: list[str]) -> DevnetOptions:
    """What makes a chain's keys, of a container's arguments."""
    told = dict(one.removeprefix("--").split("=", 1) for one in arguments if "=" in one)
    return DevnetOptions(
        home=Path(),
        seed=int(told["seed"]),
        suppliers=int(told["suppliers"]),
        services=int(told["services"]),
        applications=int(told["applications"]),
    )


def validators() -> dict[str, list[str]]:
    """How the chain is started, by network."""
    [cluster] = [
        one["spec"]["template"]["spec"]["containers"][0]["args"]
        for one in documents("network.yaml")
        if one["kind"] == "Deployment" and one["metadata"]["name"] == "validator"
    ]
    return {"docker": compose()["validator"]["command"], "k8s": cluster}


def test_the_gateways_keys_are_those_of_the_chain() -> None:
    """PATH comes up without editing: its keys, applications and services are the chain's."""
    path = yaml.safe_load((TILT / "config" / "path.yaml").read_text())["gateway_config"]
    for arguments in validators().values():
        options = options_of(arguments)
        info = describe(
            options, make_chain(options), rpc_url="", grpc_url="", control_url="", backend_url=""
        )
        [gateway] = info.gateways
        assert path["gateway_address"] == gateway.address
        assert path["gateway_private_key_hex"] == gateway.secret_hex
        applications = [one.secret_hex for one in info.applications]
        assert path["owned_apps_private_keys_hex"] == applications
        assert [one["id"] for one in path["services"]] == list(info.service_ids)


def test_both_networks_have_the_usual_ports() -> None:
    """Scripts that were written for the Go implementation's find what they call."""
    docker = {
        int(port.split(":")[0])
        for service in compose().values()
        for port in service.get("ports", ())
    }
    cluster = {int(port) for port in re.findall("'([0-9]+):", (TILT / "k8s/Tiltfile").read_text())}
    assert docker >= PORTS
    assert cluster >= PORTS | {8548, 6060, 6065}


def test_what_the_cluster_mounts_and_waits_for_is_there() -> None:
    """Config maps by name, resources by name, and a service for every host that is called."""
    tiltfile = (TILT / "k8s" / "Tiltfile").read_text()
    everything = [*documents("network.yaml"), *documents("observability.yaml")]
    named = {one["metadata"]["name"] for one in everything}
    maps = set(re.findall(r"config_map\('([^']+)'", tiltfile)) | named
    for folder, files in re.findall(r"config_map\('[^']+', '([^']+)', \[([^]]+)\]", tiltfile):
        for name in re.findall("'([^']+)'", files):
            assert (TILT / "k8s" / folder / name).is_file(), name
    for one in everything:
        volumes = one.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", ())
        for volume in volumes:
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps
    for name in re.findall(r"k8s_resource\('([^']+)'", tiltfile):
        assert name in named or name.startswith("local-relayminer-"), name
    text = (TILT / "k8s" / "values.yaml").read_text() + (TILT / "config/path.yaml").read_text()
    services = {one["metadata"]["name"] for one in everything if one["kind"] == "Service"}
    assert set(re.findall(r"//([a-z0-9-]+):", text)) <= services

"""What can be checked of a deployment without a cluster: its parts fit each other and the code."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from relayminer.cli.root import COMMANDS
from relayminer.config.environment import setting_keys, variable_name
from relayminer.config.load import load
from tests.cli.command import relayminer
from tests.vector_data import REPOSITORY

CHART = REPOSITORY / "deploy" / "helm" / "relayminer"
TILT = REPOSITORY / "tilt"
COMPOSE = TILT / "docker" / "docker-compose.yaml"
DOCKERFILE = REPOSITORY / "Dockerfile"

VARIABLES = {variable_name(key) for key in setting_keys()}


def compose() -> dict[str, Any]:
    """The services of the Compose file."""
    services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return services


def words_of(command: list[str] | None) -> list[str]:
    """The command of a container, without options."""
    return [word for word in command or [] if not word.startswith("-")]


def test_containers_run_commands_that_there_are() -> None:
    """With options that they know."""
    for name, service in compose().items():
        if service.get("image") != "relayminer:dev":
            continue
        command = service["command"]
        assert words_of(command)[0] in COMMANDS, name
        path = [words_of(command)[0]]
        if words_of(command)[1:2] == ["backend"]:
            path.append("backend")
        shown = relayminer(*path, "--help").out
        for word in command:
            if word.startswith("--"):
                assert word.partition("=")[0] in shown, (name, word)


def test_variables_of_containers_are_settings() -> None:
    """A typing error in one would be found at the start of the container only."""
    texts = [DOCKERFILE.read_text(), COMPOSE.read_text()]
    texts += [path.read_text() for path in CHART.rglob("*.tpl")]
    found = set(re.findall(r"RELAYMINER_[A-Z_]+", "\n".join(texts)))
    assert found
    assert found <= VARIABLES


def test_the_local_networks_configuration_is_one() -> None:
    """It loads, and its hosts are services of the Compose file."""
    settings = load(TILT / "config" / "relayminer.yaml", environ={})
    hosts = set(compose())
    assert settings.redis.url.removeprefix("redis://").partition(":")[0] in hosts
    assert settings.chain.grpc_url.partition(":")[0] in hosts
    for service in settings.relayer.services.values():
        for backend in service.backends.values():
            for url in [backend.url, *(one.url for one in backend.urls)]:
                if url:
                    assert url.rpartition("//")[2].partition(":")[0] in hosts


def test_redis_of_the_local_networks_keeps_what_it_is_given() -> None:
    """Everywhere: no eviction, an append-only file."""
    for text in (COMPOSE.read_text(), (TILT / "k8s" / "network.yaml").read_text()):
        assert "noeviction" in text
        assert "appendonly" in text


def test_what_tiltfiles_name_is_there() -> None:
    """Files that are read, and folders that are copied into the image."""
    for folder in ("docker", "k8s"):
        tiltfile = (TILT / folder / "Tiltfile").read_text()
        compile(tiltfile, "Tiltfile", "exec")
        for name in re.findall(r"(?:k8s_yaml|docker_compose|helm)\('([^']+)'", tiltfile):
            assert (TILT / folder / name).exists(), name
        for listed in re.findall(r"only=\[([^\]]+)\]", tiltfile):
            for name in re.findall(r"'([^']+)'", listed):
                assert (REPOSITORY / name).exists(), name
    for target in ("tilt-up-k8s", "tilt-down-k8s", "tilt-up-docker", "tilt-down-docker"):
        assert f"\n{target}:" in (REPOSITORY / "Makefile").read_text()


def test_the_image_takes_what_the_package_needs() -> None:
    """Every file that the build copies is let through and is there."""
    ignored = (REPOSITORY / ".dockerignore").read_text().split()
    for line in DOCKERFILE.read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for name in line.split()[1:-1]:
                assert f"!{name}" in ignored
                assert (REPOSITORY / name).exists()
    assert "USER 65532:65532" in DOCKERFILE.read_text()


def test_keys_of_a_seed_are_those_that_its_devnet_makes() -> None:
    """So that a secret can be made beside the chain."""
    made = yaml.safe_load(relayminer("devnet", "keys", "--seed", "1", "--suppliers", "4").out)
    again = yaml.safe_load(relayminer("devnet", "keys", "--seed", "1", "--suppliers", "4").out)
    assert made == again
    assert len(set(made["keys"])) == 4


def rendered(*values: str) -> list[dict[str, Any]]:
    """The chart's documents; needs helm."""
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("no helm on this machine: the chart is not rendered")
    done = subprocess.run(
        [helm, "template", "--kube-version", "1.31.0", "local", str(CHART), *values],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def test_the_chart_renders_with_everything_on() -> None:
    """Probes, budgets, an autoscaler, a read-only root, nobody's root user."""
    found = rendered(
        *("--set", "relayer.autoscaling.enabled=true"),
        *("--set", "relayer.ingress.enabled=true"),
        *("--set", "metrics.podMonitor=true"),
    )
    kinds = [one["kind"] for one in found]
    assert kinds.count("PodDisruptionBudget") == kinds.count("Deployment") == 2
    assert {"HorizontalPodAutoscaler", "Ingress", "PodMonitor", "Service"} <= set(kinds)
    for one in found:
        if one["kind"] != "Deployment":
            continue
        pod = one["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)


def test_the_charts_configuration_is_one(tmp_path: Any) -> None:
    """What the chart writes is what the program reads."""
    found = rendered("-f", str(TILT / "k8s" / "values.yaml"))
    (config,) = (one for one in found if one["kind"] == "ConfigMap")
    path = tmp_path / "relayminer.yaml"
    path.write_text(config["data"]["relayminer.yaml"])
    assert load(path, environ={}).relayer.services

"""The settings of probes, limits, lanes and profiles: what they come to, and what is refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from relayminer.config import ConfigError, load
from relayminer.config.settings import RelayerSettings, ServiceSettings
from relayminer.config.traffic import PoolProfile
from relayminer.relayer.errors import RelayerConfigurationError
from relayminer.relayer.pool_profiles import pool_limits_of, timeouts_of
from relayminer.testing.relayer import bench, settings
from tests.backends.sick import page_of

if TYPE_CHECKING:
    from pathlib import Path

URL = "http://127.0.0.1:8545"


def loaded(tmp_path: Path, backend: dict[str, Any], service: dict[str, Any]) -> Any:
    """Settings of one service from a file."""
    rpc_type = backend.pop("type", "jsonrpc")
    found = {"backends": {rpc_type: {"url": URL, **backend}}, "default_backend": rpc_type}
    path = tmp_path / "relayminer.yaml"
    path.write_text(yaml.safe_dump({"relayer": {"services": {"eth": {**found, **service}}}}))
    return load(path).relayer.services["eth"]


MISTAKES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"max_retries": 4}, {}, "from 0 to 3"),
    ({"load_balancing": "best"}, {}, "ranked"),
    ({"health_check": {"enabled": True, "interval_seconds": 0}}, {}, "interval_seconds"),
    ({"health_check": {"enabled": True, "healthy_threshold": 0}}, {}, "healthy_threshold"),
    ({"freshness": {"max_lag_blocks": 5, "interval_seconds": 0}}, {}, "interval_seconds"),
    ({"type": "grpc", "freshness": {"max_lag_blocks": 5}}, {}, "cannot be asked for its height"),
    ({"type": "rest", "freshness": {"max_lag_blocks": 5}}, {}, "no height of its own"),
    ({}, {"admission": {"fair_by": "luck"}}, "application, supplier"),
    ({}, {"lanes": {"dear": {}}}, "nothing belongs into this lane"),
    ({}, {"lanes": {"dear": {"methods": ["a"], "max_in_flight": 0}}}, "0 would stop"),
    ({}, {"lanes": {"service": {"methods": ["a"]}}}, "another name"),
    ({}, {"timeout_profile": "slow"}, "fast, streaming"),
    ({}, {"pool_profile": "huge"}, "low, medium, high"),
]


@pytest.mark.parametrize(("backend", "service", "said"), MISTAKES)
def test_mistakes_are_told(
    tmp_path: Path, backend: dict[str, Any], service: dict[str, Any], said: str
) -> None:
    """With the reason or the remedy in the text."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, dict(backend), service)
    assert said in str(caught.value)


def test_a_full_configuration_is_read(tmp_path: Path) -> None:
    """Everything that an operator may write, in one piece."""
    found = loaded(
        tmp_path,
        {
            "load_balancing": "ranked",
            "health_check": {"enabled": True, "endpoint": "/h", "expected_status": [200, 204]},
            "freshness": {"max_lag_blocks": 3, "interval_seconds": "500ms"},
            "hedging": {"methods": ["eth_chainId"], "after_seconds": "200ms"},
        },
        {
            "admission": {"max_in_flight": 20, "fair_by": "supplier"},
            "lanes": {"dear": {"methods": ["trace_*"], "log_range_blocks": 1000}},
            "response_cache": {"methods": ["eth_getBlockByHash"]},
            "timeout_profile": "streaming",
            "pool_profile": "low",
        },
    )
    assert found.backends["jsonrpc"].health_check.expected_status == (200, 204)
    assert found.backends["jsonrpc"].freshness.interval_seconds == 0.5
    assert found.lanes["dear"].methods == ("trace_*",)


def test_times_come_from_the_service_then_its_profile_then_the_relayer() -> None:
    """1.5, with a header timeout of 0 in a profile meaning none."""
    common = RelayerSettings(request_timeout_seconds=7.0)
    plain = timeouts_of(common, "eth", ServiceSettings(backends={}))
    assert (plain.request_seconds, plain.response_header_seconds) == (7.0, 30.0)
    profile = ServiceSettings(backends={}, timeout_profile="streaming", dial_timeout_seconds=2.0)
    found = timeouts_of(common, "eth", profile)
    assert (found.request_seconds, found.dial_seconds) == (600.0, 2.0)
    assert found.response_header_seconds == math.inf
    with pytest.raises(RelayerConfigurationError, match="undefined timeout profile slow"):
        timeouts_of(common, "eth", ServiceSettings(backends={}, timeout_profile="slow"))


def test_connections_come_from_the_service_then_its_profile_then_the_relayer() -> None:
    """A profile of one's own beside the built-in ones."""
    common = RelayerSettings(
        max_connections_per_endpoint=50, pool_profiles={"tiny": PoolProfile(max_connections=2)}
    )
    assert pool_limits_of(common, "eth", ServiceSettings(backends={})).max_connections == 50
    tiny = ServiceSettings(backends={}, pool_profile="tiny")
    assert pool_limits_of(common, "eth", tiny).max_connections == 2
    own = ServiceSettings(backends={}, pool_profile="tiny", max_connections=9)
    assert pool_limits_of(common, "eth", own).max_connections == 9
    with pytest.raises(RelayerConfigurationError, match="undefined pool profile huge"):
        pool_limits_of(common, "eth", ServiceSettings(backends={}, pool_profile="huge"))
    low = ServiceSettings(backends={}, pool_profile="low")
    assert pool_limits_of(common, "eth", low).max_connections == 10


async def test_the_page_shows_the_profile_and_what_is_known_of_the_endpoints(
    redis_url: str,
) -> None:
    """10.5, and no password of a URL."""

    def configure(url: str) -> RelayerSettings:
        secret = url.replace("http://", "http://user:hidden@")
        return settings(
            "", backend={"url": secret}, service={"pool_profile": "low", "timeout_profile": "fast"}
        )

    async with bench(redis_url, configure=configure) as b:
        page = await page_of(b)
        assert page["pool"] == {
            "profile": "low",
            "max_conns_per_host": 10,
            "max_idle_conns_per_host": 5,
            "idle_conn_timeout_seconds": 90.0,
            "in_flight": 0,
            "saturation_pct": 0.0,
        }
        assert "admission" not in page
        assert page["backends"] == {
            "total": 1,
            "healthy": 1,
            "endpoints": [
                {
                    "name": f"127.0.0.1:{b.backend.port}",
                    "url": b.backend.url,
                    "healthy": True,
                    "state": "healthy",
                    "failures": 0,
                    "latency_ms": 0.0,
                    "error_pct": 0.0,
                }
            ],
        }

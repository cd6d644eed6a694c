"""The gateway of all tests, in a container. Without this file the plugin starts one in a process of its own."""

from collections.abc import Iterator

import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HttpWaitStrategy

from expo_gateway.testing import Gateway, gateway

PORT = 8080
# In the container it does not listen on loopback, so its control API wants a token.
TOKEN = "only-for-tests"


@pytest.fixture(scope="session")
def expo_gateway_server() -> Iterator[Gateway]:
    container = (
        DockerContainer("expo-gateway")
        .with_exposed_ports(PORT)
        .with_env("EXPO_GATEWAY_CONTROL__TOKEN", TOKEN)
        .with_env("EXPO_GATEWAY_RUNS__MAX_IDLE_S", "300")
        .waiting_for(HttpWaitStrategy(PORT, "/health/ready").for_status_code(200))
    )
    with container:
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(PORT)}"
        with gateway(url=url, token=TOKEN) as started:
            yield started

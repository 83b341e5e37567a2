import socket

import pytest

from emulators.ports import HOST, Ports, check_free, free_port


def test_ports_are_free_ones_unless_given() -> None:
    assert Ports.from_env({}) == Ports()
    assert Ports.from_env({"PORT": "8080", "BIGQUERY_STORAGE_PORT": ""}) == Ports(endpoint=8080)


@pytest.mark.parametrize("name", ["PORT", "PUBSUB_PORT", "SECRET_MANAGER_PORT", "BIGQUERY_PORT"])
@pytest.mark.parametrize("text", ["65536", "-1", "http", "8080 "])
def test_wrong_port_is_named(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is a port"):
        Ports.from_env({name: text})


def test_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} of {HOST} is taken"):
            check_free(port)
    check_free(free_port())
    check_free(0)

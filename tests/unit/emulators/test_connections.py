import socket

import pytest

from emulators.connections import break_connection, parse_grpc_peer


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:5000", ("127.0.0.1", 5000)),
        ("ipv6:%5B::1%5D:5000", ("::1", 5000)),
        ("ipv6:[::1]:5000", ("::1", 5000)),
    ],
)
def test_grpc_peer_is_an_address(peer, address):
    assert parse_grpc_peer(peer) == address


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def test_client_sees_its_connection_end(family):
    with socket.create_server(
        ("", 0), family=family, dualstack_ipv6=family == socket.AF_INET6
    ) as s:
        port = s.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)) as broken,
            socket.create_connection(("127.0.0.1", port)) as spared,
        ):
            servers = [s.accept()[0] for _ in range(2)]
            assert break_connection(*broken.getsockname())
            broken.settimeout(5)
            assert broken.recv(1) == b""
            servers[1].sendall(b"x")
            assert spared.recv(1) == b"x"
            for server in servers:
                server.close()


def test_unknown_peer_is_no_connection():
    assert not break_connection("127.0.0.1", 1)

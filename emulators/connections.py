"""Breaks a client's TCP connection from inside the server that holds it.

gRPC for Python and ASGI give a handler no way to do that: both can only end the call in good order.
"""

import os
import socket
from pathlib import Path

# Open descriptors of this process, on Linux and on macOS.
DESCRIPTORS = Path("/dev/fd")
IPV4_IN_IPV6 = "::ffff:"


def break_connection(host: str, port: int) -> bool:
    """Shuts down this process's connection to the client at (host, port); false if it has none.

    The client sees its connection end in the middle of the call, with every other call on it.
    """
    for descriptor in _descriptors():
        try:
            copy = os.dup(descriptor)
        except OSError:  # Closed since it was listed.
            continue
        try:
            connection = socket.socket(fileno=copy)
        except OSError:  # A file or a pipe.
            os.close(copy)
            continue
        with connection:
            # The copy shares the connection, so shutting it down shuts the server's own.
            if _peer(connection) == (host, port):
                connection.shutdown(socket.SHUT_RDWR)
                return True
    return False


def parse_grpc_peer(peer: str) -> tuple[str, int]:
    """Host and port of what gRPC calls a peer: `ipv4:127.0.0.1:5000`, `ipv6:%5B::1%5D:5000`."""
    address = peer.partition(":")[2]
    host, _, port = address.rpartition(":")
    return host.replace("%5B", "").replace("%5D", "").strip("[]"), int(port)


def _descriptors() -> list[int]:
    return sorted(int(entry.name) for entry in DESCRIPTORS.iterdir())


def _peer(connection: socket.socket) -> tuple[str, int] | None:
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        host, port = connection.getpeername()[:2]
    except OSError:  # It listens, or its client has gone.
        return None
    return host.removeprefix(IPV4_IN_IPV6), port

"""`python -m ops status`: what an operator sees first."""

import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ops.status import main
from tests.fixtures.ops import PHI, dead_letter, patient

READY = b'{"status": "ready"}'
NOT_READY = b'{"detail": "patients: its keys", "code": "not_ready"}'


@pytest.fixture
def endpoint():
    """Serve this answer to `/readyz`; return the base URL."""
    servers = []

    def serve(status, body):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status if self.path == "/readyz" else 404)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Say nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def status(stack_file, capsys):
    def run(*arguments):
        code = main([*arguments, f"--stack={stack_file}"])
        out = capsys.readouterr().out
        assert PHI not in out
        return code, out.splitlines()

    return run


def test_all_is_well(warehouse, status, endpoint):
    url = endpoint(200, READY)
    warehouse.insert("dead_letters", dead_letter(patient("e-1")))  # not of today

    assert status("--endpoint", url) == (
        0,
        [
            f"endpoint {url}: ready",
            "backlog: not known, as an emulator keeps no metrics",
            "dead letters today: none",
        ],
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((503, NOT_READY), "not ready: patients: its keys"),
        ((502, b"<html>"), "not ready: 502"),
        ((500, b"[]"), "not ready: 500"),
    ],
    ids=["keys", "gateway", "no problem"],
)
def test_endpoint_that_is_not_ready(connection, status, endpoint, answer, said):
    url = endpoint(*answer)

    code, lines = status("--endpoint", url)

    assert (code, lines[0]) == (1, f"endpoint {url}: {said}")


def test_endpoint_that_is_not_there(connection, status):
    code, lines = status("--endpoint", "http://127.0.0.1:9")

    assert (code, lines[0]) == (1, "endpoint http://127.0.0.1:9: not reached (ConnectError)")


def test_dead_letters_of_today(warehouse, status):
    today = {"failed_ts": datetime.now(UTC).isoformat()}
    warehouse.insert(
        "dead_letters",
        *(dead_letter(patient(f"e-{n}"), event_id=f"e-{n}", **today) for n in range(3)),
    )
    warehouse.load("e-0")

    code, lines = status()

    assert code == 0
    assert ["patients", "invalid_record", "3", "2"] in [line.split() for line in lines]


def test_bigquery_that_does_not_answer(connection, status, provisioned_bigquery):
    provisioned_bigquery.faults.add({"service": "bigquery", "status": "PERMISSION_DENIED"})

    code, lines = status()

    assert code == 1
    assert lines[-1] == "dead letters: BigQuery does not tell (Forbidden)"

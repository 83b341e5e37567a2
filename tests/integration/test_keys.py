"""`python -m ops keys` against Secret Manager, read back as the endpoint reads it."""

import json

import pytest

from emulators.provision import provision_secrets
from functions.auth import parse_payload
from functions.secret_store import SecretVersion
from ops.keys import main
from tests.fixtures.bigquery import PROJECT

SECRET = f"projects/{PROJECT}/secrets/patients-api-key"


@pytest.fixture
def keys(secret_manager_emulator, tmp_path, capsys):
    """Run the command; return its exit code, its output and its errors."""
    provision_secrets(secret_manager_emulator.host, PROJECT, ["patients"])
    stack = {"project": PROJECT, "dataset": "d", "ops_dataset": "o", "bigquery_rest": ""}
    file = tmp_path / "stack.json"
    hosts = {"pubsub": "", "secret_manager": secret_manager_emulator.host}
    file.write_text(json.dumps(stack | hosts))

    def run(*arguments):
        code = main([*arguments, f"--stack={file}"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def stored(client, version):
    payload = client.access_secret_version(name=f"{SECRET}/versions/{version}").payload.data
    return parse_payload(SecretVersion(str(version), payload))


@pytest.mark.parametrize(
    ("arguments", "key_id"), [([], "v2"), (["--id", "hospital-a"], "hospital-a")], ids=str
)
def test_new_key_is_printed_once_and_alone(keys, secret_manager, arguments, key_id):
    code, out, err = keys("add", "patients", *arguments)

    key = out.strip()
    assert code == 0
    assert len(key) == 43
    assert err == f"version 2, key id {key_id}; the key is shown this once:\n"
    assert stored(secret_manager, 2) == {key_id: key.encode()}
    assert key not in "".join(keys("list", "patients", "--ids")[1:])


def test_every_key_is_another(keys):
    assert len({keys("add", "patients")[1] for _ in range(5)}) == 5


def test_list_says_state_age_and_on_demand_whose_keys(keys):
    keys("add", "patients", "--id", "hospital-a")
    keys("disable", "patients", "1")

    code, out, _ = keys("list", "patients")
    rows = [line.split() for line in out.splitlines() if "Z" in line]
    assert code == 0
    assert [row[:2] for row in rows] == [["2", "enabled"], ["1", "disabled"]]

    _, out, _ = keys("list", "patients", "--ids")
    [row] = [line.split() for line in out.splitlines() if "enabled" in line]
    assert row[-1] == "hospital-a"


def test_version_that_holds_no_keys(keys, secret_manager):
    secret_manager.add_secret_version(parent=SECRET, payload={"data": b"{not json"})

    assert "(holds no keys)" in keys("list", "patients", "--ids")[1]


def test_disable_enable_destroy(keys):
    keys("add", "patients")

    for action, state in (("disable", "disabled"), ("enable", "enabled"), ("destroy", "destroyed")):
        code, out, _ = keys(action, "patients", "1")
        assert (code, out) == (0, f"version 1 of patients-api-key is {state}\n")


@pytest.mark.parametrize("action", ["disable", "destroy"])
def test_last_key_goes_only_if_that_is_said(keys, action):
    code, _, err = keys(action, "patients", "1")
    assert code == 1
    assert "is the last that is enabled" in err

    assert keys(action, "patients", "1", "--last")[0] == 0


@pytest.mark.parametrize(
    "arguments", [["add", "plans"], ["list", "plans"], ["disable", "patients", "9"]], ids=str
)
def test_what_is_not_there(keys, arguments):
    code, _, err = keys(*arguments)

    assert code == 1
    assert "no such secret or version" in err


@pytest.mark.parametrize("key_id", ["", "-x", "two words", "x" * 129])
def test_id_that_reads_badly(keys, key_id):
    with pytest.raises(SystemExit):
        keys("add", "patients", f"--id={key_id}")

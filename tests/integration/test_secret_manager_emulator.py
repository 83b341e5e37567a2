"""What Google's client may expect of Secret Manager."""

import google_crc32c
import grpc
import pytest
from google.api_core import exceptions
from google.cloud.secretmanager_v1 import SecretManagerServiceClient, SecretVersion

from emulators.secret_manager import SecretManagerEmulator
from tests.fixtures.secret_manager import secret_manager_client

PROJECT = "projects/demo-project"
LARGEST = b"k" * 65_536
State = SecretVersion.State
STATUSES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def create(client: SecretManagerServiceClient, secret_id="patients-api-key", **settings) -> str:
    return client.create_secret(
        parent=PROJECT,
        secret_id=secret_id,
        secret={"replication": {"automatic": {}}, **settings},
    ).name


def add(client: SecretManagerServiceClient, secret: str, data: bytes) -> str:
    return client.add_secret_version(parent=secret, payload={"data": data}).name


def access(client: SecretManagerServiceClient, version: str) -> bytes:
    # Not retried: a test of a refusal would wait for a minute.
    return client.access_secret_version(name=version, retry=None, timeout=5).payload.data


def test_secret_lives_from_create_to_delete(secret_manager):
    name = create(secret_manager, labels={"resource": "patients"})
    assert name == f"{PROJECT}/secrets/patients-api-key"
    stored = secret_manager.get_secret(name=name)
    assert dict(stored.labels) == {"resource": "patients"}
    assert stored.create_time
    with pytest.raises(exceptions.AlreadyExists):
        create(secret_manager)
    secret_manager.delete_secret(name=name)
    with pytest.raises(exceptions.NotFound):
        secret_manager.get_secret(name=name)


@pytest.mark.parametrize(
    "secret_id", ["", "a b", "x" * 256, "a/b", "ä"], ids=["none", "space", "long", "slash", "ä"]
)
def test_bad_secret_id_is_refused(secret_manager, secret_id):
    with pytest.raises(exceptions.InvalidArgument):
        create(secret_manager, secret_id)


def test_secret_needs_a_replication(secret_manager):
    with pytest.raises(exceptions.InvalidArgument, match="replication"):
        secret_manager.create_secret(parent=PROJECT, secret_id="s", secret={})


def test_what_is_not_emulated_is_refused_and_not_ignored(secret_manager):
    with pytest.raises(exceptions.MethodNotImplemented, match="version_aliases"):
        create(secret_manager, version_aliases={"current": 1})


def test_versions_count_up_and_latest_is_the_newest(secret_manager):
    name = create(secret_manager)
    assert [add(secret_manager, name, data) for data in (b"one", b"two")] == [
        f"{name}/versions/1",
        f"{name}/versions/2",
    ]
    assert access(secret_manager, f"{name}/versions/1") == b"one"
    response = secret_manager.access_secret_version(name=f"{name}/versions/latest")
    assert response.name == f"{name}/versions/2"
    assert response.payload.data == b"two"
    assert response.payload.data_crc32c == google_crc32c.value(b"two")


@pytest.mark.parametrize(
    ("data", "passes"),
    [(b"", False), (b"k", True), (LARGEST, True), (LARGEST + b"k", False)],
    ids=["empty", "one", "64KiB", "64KiB+1"],
)
def test_payload_has_a_size(secret_manager, data, passes):
    name = create(secret_manager)
    if passes:
        assert access(secret_manager, add(secret_manager, name, data)) == data
        return
    with pytest.raises(exceptions.InvalidArgument):
        add(secret_manager, name, data)


@pytest.mark.parametrize("offset", [0, 1], ids=["right", "wrong"])
def test_checksum_is_verified(secret_manager, offset):
    payload = {"data": b"key", "data_crc32c": google_crc32c.value(b"key") + offset}
    name = create(secret_manager)
    if offset:
        with pytest.raises(exceptions.InvalidArgument, match="crc32c"):
            secret_manager.add_secret_version(parent=name, payload=payload)
        return
    version = secret_manager.add_secret_version(parent=name, payload=payload)
    assert version.client_specified_payload_checksum


def test_disabled_version_cannot_be_read_until_it_is_enabled(secret_manager):
    version = add(secret_manager, create(secret_manager), b"key")
    assert secret_manager.disable_secret_version(name=version).state is State.DISABLED
    with pytest.raises(exceptions.FailedPrecondition, match="DISABLED"):
        access(secret_manager, version)
    assert secret_manager.enable_secret_version(name=version).state is State.ENABLED
    assert access(secret_manager, version) == b"key"


def test_latest_is_the_newest_even_when_it_is_disabled(secret_manager):
    name = create(secret_manager)
    add(secret_manager, name, b"old")
    secret_manager.disable_secret_version(name=add(secret_manager, name, b"new"))
    with pytest.raises(exceptions.FailedPrecondition):
        access(secret_manager, f"{name}/versions/latest")


def test_destroyed_version_stays_destroyed(secret_manager):
    version = add(secret_manager, create(secret_manager), b"key")
    destroyed = secret_manager.destroy_secret_version(name=version)
    assert destroyed.state is State.DESTROYED
    assert destroyed.destroy_time
    with pytest.raises(exceptions.FailedPrecondition, match="DESTROYED"):
        access(secret_manager, version)
    for change in (
        secret_manager.enable_secret_version,
        secret_manager.disable_secret_version,
        secret_manager.destroy_secret_version,
    ):
        with pytest.raises(exceptions.FailedPrecondition):
            change(name=version)
    assert secret_manager.get_secret_version(name=version).state is State.DESTROYED


@pytest.mark.parametrize("filter_", ["state:ENABLED", "state=ENABLED", "state = ENABLED"])
def test_versions_are_listed_newest_first_and_by_state(secret_manager, filter_):
    name = create(secret_manager)
    versions = [add(secret_manager, name, b"key %d" % n) for n in range(5)]
    secret_manager.disable_secret_version(name=versions[1])
    secret_manager.destroy_secret_version(name=versions[3])
    listed = secret_manager.list_secret_versions(parent=name)
    assert listed.total_size == 5
    assert [version.name for version in listed] == versions[::-1]
    enabled = secret_manager.list_secret_versions(request={"parent": name, "filter": filter_})
    assert [version.name for version in enabled] == [versions[4], versions[2], versions[0]]


def test_lists_come_in_pages(secret_manager):
    name = create(secret_manager)
    versions = [add(secret_manager, name, b"key") for _ in range(5)]
    pages = list(
        secret_manager.list_secret_versions(request={"parent": name, "page_size": 2}).pages
    )
    assert [len(page.versions) for page in pages] == [2, 2, 1]
    assert [version.name for page in pages for version in page.versions] == versions[::-1]
    with pytest.raises(exceptions.InvalidArgument):
        secret_manager.list_secret_versions(request={"parent": name, "page_token": "garbage"})


@pytest.mark.parametrize("filter_", ["create_time>2020", "state:ENABLED OR state:DISABLED"])
def test_filter_that_is_not_emulated_is_refused(secret_manager, filter_):
    with pytest.raises(exceptions.MethodNotImplemented):
        secret_manager.list_secret_versions(
            request={"parent": create(secret_manager), "filter": filter_}
        )


def test_secrets_are_listed_by_project_name_and_label(secret_manager):
    claims = create(secret_manager, "claims-api-key", labels={"resource": "claims"})
    plans = create(secret_manager, "plans-api-key", labels={"resource": "plans"})

    def names(**request):
        return [s.name for s in secret_manager.list_secrets(request={"parent": PROJECT, **request})]

    assert names() == [plans, claims]
    assert names(filter="name:claims") == [claims]
    assert names(filter="labels.resource=plans") == [plans]
    assert names(parent="projects/another-project") == []


def test_labels_change_and_the_rest_does_not(secret_manager):
    name = create(secret_manager, labels={"a": "1", "b": "2"})
    changed = secret_manager.update_secret(
        secret={"name": name, "labels": {"c": "3"}}, update_mask={"paths": ["labels"]}
    )
    assert dict(changed.labels) == {"c": "3"}
    with pytest.raises(exceptions.InvalidArgument):
        secret_manager.update_secret(secret={"name": name}, update_mask={"paths": ["replication"]})


def test_old_etag_is_refused(secret_manager):
    version = add(secret_manager, create(secret_manager), b"key")
    before = secret_manager.get_secret_version(name=version).etag
    after = secret_manager.enable_secret_version(name=version).etag
    assert after != before
    with pytest.raises(exceptions.FailedPrecondition, match="etag"):
        secret_manager.disable_secret_version(request={"name": version, "etag": before})
    secret_manager.disable_secret_version(request={"name": version, "etag": after})


@pytest.mark.parametrize("version", ["1", "latest"])
def test_what_does_not_exist_is_not_found(secret_manager, version):
    name = create(secret_manager)
    with pytest.raises(exceptions.NotFound):
        access(secret_manager, f"{name}/versions/{version}")
    with pytest.raises(exceptions.NotFound):
        access(secret_manager, f"{PROJECT}/secrets/missing/versions/{version}")


@pytest.mark.parametrize("status", STATUSES, ids=lambda code: code.name)
def test_fault_gives_its_status_and_the_next_call_passes(
    secret_manager, secret_manager_emulator: SecretManagerEmulator, status
):
    version = add(secret_manager, create(secret_manager), b"key")
    secret_manager_emulator.faults.add(
        {"service": "secret_manager", "status": status.name, "calls": 1}
    )
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        access(secret_manager, version)
    assert caught.value.grpc_status_code is status
    assert access(secret_manager, version) == b"key"


def test_secrets_survive_a_restart(tmp_path):
    first = SecretManagerEmulator(data_dir=tmp_path)
    with first, grpc.insecure_channel(first.host) as channel:
        client = secret_manager_client(channel)
        version = add(client, create(client), b"\x00key\xff")
        client.disable_secret_version(name=add(client, create(client, "other"), b"old"))
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    second = SecretManagerEmulator(data_dir=tmp_path)
    with second, grpc.insecure_channel(second.host) as channel:
        client = secret_manager_client(channel)
        assert access(client, version) == b"\x00key\xff"
        [other] = client.list_secret_versions(parent=f"{PROJECT}/secrets/other")
        assert other.state is State.DISABLED

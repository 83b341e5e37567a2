"""The build is one that Cloud Build accepts, and applies only where it is told to."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.devtools.cloudbuild_v1 import Build

from tests.fixtures.images import IMAGES, ROOT

TEXT = (ROOT / "cloudbuild.yaml").read_text()
BUILD: dict[str, Any] = yaml.safe_load(TEXT)
STEPS = {step["id"]: step for step in BUILD["steps"]}
# https://cloud.google.com/build/docs/configuring-builds/substitute-variable-values
BUILT_IN = {"PROJECT_ID", "SHORT_SHA", "COMMIT_SHA"}
DIGEST = "sha256:" + "0" * 64
# Each program writes down how it was called; docker also answers what it is asked.
STUB = """#!/bin/sh
printf '%s' "$(basename "$0")" >> calls
for word in "$@"; do printf ' %s' "$word" >> calls; done
echo >> calls
case "$1" in inspect) echo "${4%%:*}@{digest}";; esac
"""


def used(text: str) -> set[str]:
    return set(re.findall(r"\$\{?([A-Z_]*[A-Z])\b", text))


def without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def test_cloud_build_knows_every_field():
    # The published message of the API; a field or a value that it does not have is an error.
    build = Build.from_json(json.dumps(BUILD), ignore_unknown_fields=False)

    assert len(build.steps) == len(STEPS)


def test_every_substitution_is_declared_and_used():
    declared = set(BUILD["substitutions"])
    mentioned = used(without_comments(TEXT))

    assert {name for name in mentioned if name.startswith("_")} == declared
    assert {name for name in mentioned if not name.startswith("_")} <= BUILT_IN


def test_every_substitution_is_explained():
    for name in BUILD["substitutions"]:
        assert re.search(rf"^  #.*\n  {name}:", TEXT, re.MULTILINE), name
        assert name in (ROOT / "docs/platform.md").read_text()


def test_steps_wait_for_steps_before_them():
    before: set[str] = set()
    for name, step in STEPS.items():
        assert set(step["waitFor"]) <= before | {"-"}
        before.add(name)
    assert len(STEPS) == len(BUILD["steps"])


def ancestors(name: str) -> set[str]:
    parents = set(STEPS[name]["waitFor"]) - {"-"}
    return parents.union(*(ancestors(parent) for parent in parents))


def test_nothing_leaves_the_build_before_all_tests_have_passed():
    assert {"check", "test", "terraform-test"} <= ancestors("push")
    for name in ("sbom", "template", "plan", "apply"):
        assert "push" in ancestors(name)
    assert {"plan", "template"} <= ancestors("apply")


def test_builders_are_pinned():
    unpinned = {step["name"] for step in STEPS.values() if ":" not in step["name"]}
    assert unpinned == {"gcr.io/cloud-builders/docker"}  # Cloud Build's own, fits its daemon


def test_the_same_python_and_terraform_as_elsewhere():
    dockerfile = (ROOT / "functions/Dockerfile").read_text()
    python = re.search(r"python:([\d.]+)-", dockerfile)
    assert python
    assert STEPS["test"]["name"].startswith(f"python:{python[1]}-")


@pytest.mark.parametrize("name", STEPS)
def test_scripts_are_posix_shell(name: str):
    script = STEPS[name]["script"]

    assert script.startswith("#!/bin/sh\nset -eu\n")
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def substitutions(**values: str) -> dict[str, str]:
    found = {"PROJECT_ID": "demo-project", "SHORT_SHA": "1a2b3c4", "COMMIT_SHA": "1a2b3c4d5e"}
    found |= BUILD["substitutions"] | values
    while any("${" in value for value in found.values()):
        found = {
            name: re.sub(r"\$\{(\w+)\}", lambda match: found[match[1]], value)  # noqa: B023 (at once)
            for name, value in found.items()
        }
    return found


def run(folder: Path, **values: str) -> list[str]:
    """Run all scripts with programs that only write down their calls."""
    programs = folder / "bin"
    programs.mkdir()
    for program in ("docker", "gcloud", "make", "terraform"):
        (programs / program).write_text(STUB.replace("{digest}", DIGEST))
        (programs / program).chmod(0o755)
    env = {"PATH": f"{programs}:{os.defpath}", **substitutions(**values)}
    for step in STEPS.values():
        subprocess.run(["sh", "-c", step["script"]], cwd=folder, env=env, check=True, timeout=20)
    return (folder / "calls").read_text().splitlines()


def test_a_pull_request_stops_after_the_plan(tmp_path: Path):
    calls = run(tmp_path)

    assert not any(" apply " in call for call in calls)
    assert [call for call in calls if call.startswith("gcloud")] == [
        "gcloud dataflow flex-template build "
        "gs://demo-project-vitalflow-dataflow/templates/pipeline-1a2b3c4.json --print-only "
        f"--image=us-central1-docker.pkg.dev/demo-project/vitalflow/pipeline@{DIGEST} "
        "--sdk-language=PYTHON --metadata-file=beam_pipeline/template/metadata.json"
    ]
    assert any(" plan " in call and "-lock=false" in call for call in calls)


def test_an_environments_trigger_applies_its_own_plan(tmp_path: Path):
    calls = run(tmp_path, _APPLY="true", _SBOM="true", _ENVIRONMENT="prod")

    assert calls[-1] == (
        "terraform -chdir=terraform apply -input=false -lock-timeout=10m ../release/tfplan"
    )
    plan = next(call for call in calls if " plan " in call)
    assert "-out=../release/tfplan" in plan
    assert "-var-file=environments/prod.tfvars" in plan
    assert "-lock=false" not in plan
    assert not any("--print-only" in call for call in calls)
    assert sum(" sbom export " in call for call in calls) == len(IMAGES)


def test_the_release_says_what_terraform_asks_for(tmp_path: Path):
    run(tmp_path)
    release = json.loads((tmp_path / "release/release.tfvars.json").read_text())
    variables = "\n".join(path.read_text() for path in (ROOT / "terraform").glob("variables*.tf"))

    for name in release:
        assert f'variable "{name}" {{' in variables
    for name in IMAGES:
        assert release[f"{name}_image"].endswith(f"/vitalflow/{name}@{DIGEST}")
    for name in ("endpoint", "status"):
        image = re.search(rf'regex\("(\^\[a-z0-9\.-\].+)", var\.{name}_image', variables)
        assert image
        assert re.fullmatch(image[1].strip("^$"), release[f"{name}_image"])


def test_every_image_is_built_pushed_and_listed(tmp_path: Path):
    calls = run(tmp_path)

    repository = "us-central1-docker.pkg.dev/demo-project/vitalflow"
    for name in IMAGES:
        (build,) = (call for call in calls if f" --tag {repository}/{name}:1a2b3c4 " in call)
        assert build.startswith("docker build --file ")
        assert f"docker push {repository}/{name}:1a2b3c4" in calls
        assert {f"${{_REPOSITORY}}/{name}:$SHORT_SHA", f"${{_REPOSITORY}}/{name}:cache"} <= set(
            BUILD["images"]
        )
    assert len(BUILD["images"]) == 2 * len(IMAGES)


def test_an_image_is_built_as_it_is_tested():
    for name, tested in IMAGES.items():
        script = STEPS[f"build-{name}"]["script"]
        arguments = dict(re.findall(r"--build-arg (\w+)=(\w+)", script))

        assert f"--file {tested.dockerfile} " in script
        assert arguments == {**tested.build_args, "BUILDKIT_INLINE_CACHE": "1"}


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_an_environment_has_its_files(environment: str):
    for suffix in ("tfvars", "gcs.tfbackend"):
        assert (ROOT / f"terraform/environments/{environment}.{suffix}").exists()


def test_files_that_the_build_names_exist():
    for name in re.findall(r"(?:--file |--metadata-file=)(\S+)", without_comments(TEXT)):
        assert (ROOT / name).is_file()

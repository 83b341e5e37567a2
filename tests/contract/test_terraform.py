"""What Terraform plans follows from the contracts, and fits the code that runs on it.

Plans alone: nothing here needs a project or credentials, whichever provider `terraform init` finds.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from functions import auth
from functions.settings import Settings
from functions.status_settings import StatusSettings
from schemas.generate import generated_files
from schemas.registry import load_registry

ROOT = Path(__file__).parents[2]
# The longest name that a contract may have, and one that ends where Cloud Run would not let it.
NEW_RESOURCE = "devices_" + "x" * 31 + "_"
# Data sources, which ask Google even in a plan, come with kms_keys and with a budget only.
MAIN = """
provider "google" {
  access_token = "none"
}
provider "google-beta" {
  access_token = "none"
}
variable "schemas_path" {
  type = string
}
module "vitalflow" {
  source            = "./terraform"
  project_id        = "demo-project"
  region            = "europe-west3"
  schemas_path      = var.schemas_path
  endpoint_image    = "europe-west3-docker.pkg.dev/demo-project/vitalflow/endpoint:1"
  status_image      = "europe-west3-docker.pkg.dev/demo-project/vitalflow/status:1"
  pipeline_image    = "europe-west3-docker.pkg.dev/demo-project/vitalflow/pipeline:1"
  pipeline_template = "gs://demo-project-vitalflow-dataflow/templates/1.json"
  endpoint          = { allow_unauthenticated = true }
  load_balancer     = { domains = ["ingest.example.org"] }
  access = {
    analysts     = ["group:analysts@example.org"]
    phi_readers  = ["group:phi@example.org"]
    operators    = ["group:operators@example.org"]
    replayers    = ["group:replay@example.org"]
    key_managers = ["group:keys@example.org"]
  }
}
"""

pytestmark = pytest.mark.timeout(300)


class Plan(NamedTuple):
    """What a first apply would make, by address; `unknown` says which values only it will know."""

    values: dict[str, dict[str, Any]]
    unknown: dict[str, Any]

    def of_type(self, type_: str) -> dict[str, dict[str, Any]]:
        prefix = f"module.vitalflow.{type_}."
        return {address: v for address, v in self.values.items() if address.startswith(prefix)}


class Workspace:
    """A copy of the module, so that nothing is written into the tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(
            ROOT / "terraform",
            folder / "terraform",
            ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "examples", "tests"),
        )
        # Both plans are of one state of the contracts, whatever happens in the tree meanwhile.
        self.schemas = folder / "schemas"
        shutil.copytree(ROOT / "schemas", self.schemas)
        (folder / "main.tf").write_text(MAIN)

    def terraform(self, *arguments: str) -> str:
        run = subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self.folder,
            env={**os.environ, "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        if run.returncode:
            raise RuntimeError(run.stderr)
        return run.stdout

    def plan(self, schemas_path: Path) -> Plan:
        self.terraform("plan", f"-var=schemas_path={schemas_path}", "-out=plan", "-lock=false")
        document = json.loads(self.terraform("show", "-json", "plan"))
        changes = {
            change["address"]: change["change"]
            for change in document["resource_changes"]
            if change["mode"] == "managed"
        }
        return Plan(
            {address: change["after"] for address, change in changes.items()},
            {address: change["after_unknown"] for address, change in changes.items()},
        )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    if not shutil.which("terraform"):
        pytest.skip("terraform is not installed")
    workspace = Workspace(tmp_path_factory.mktemp("terraform"))
    try:
        workspace.terraform("init", "-backend=false")
    except RuntimeError as error:
        if "Failed to query available provider packages" not in str(error):
            raise
        pytest.skip("no registry or mirror has the Google provider; see TF_CLI_CONFIG_FILE")
    return workspace


@pytest.fixture(scope="module")
def plan(workspace: Workspace) -> Plan:
    return workspace.plan(workspace.schemas)


@pytest.fixture(scope="module")
def larger_plan(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return workspace.plan(add_resource(workspace.schemas, tmp_path_factory.mktemp("larger")))


def add_resource(original: Path, folder: Path) -> Path:
    """Copy the contracts with one more, and generate what follows from them."""
    schemas = folder / "schemas"
    shutil.copytree(original, schemas)
    model = min(load_registry(original))
    text = (schemas / "resources" / f"{model}.schema.json").read_text()
    new = schemas / "resources" / f"{NEW_RESOURCE}.schema.json"
    new.write_text(text.replace(model, NEW_RESOURCE))
    for path, content in generated_files(load_registry(schemas), schemas):
        path.write_text(content)
    return schemas


def test_new_resource_adds_and_changes_only_what_lists_all(
    plan: Plan, larger_plan: Plan, workspace: Workspace
) -> None:
    added = larger_plan.values.keys() - plan.values.keys()
    changed = {
        address
        for address in plan.values.keys() & larger_plan.values.keys()
        if (plan.values[address], plan.unknown[address])
        != (larger_plan.values[address], larger_plan.unknown[address])
    }
    assert plan.values.keys() <= larger_plan.values.keys()
    assert all(NEW_RESOURCE in address for address in added)
    # One object holds every path of a load balancer, and a view over all tables names each: both
    # grow in place, and neither holds data.
    views = {
        f'module.vitalflow.google_bigquery_table.view["{path.stem}"]'
        for path in (workspace.schemas / "bigquery" / "views").glob("*.sql")
        if all(f".{name}`" in path.read_text() for name in load_registry(workspace.schemas))
    }
    assert changed == {'module.vitalflow.google_compute_url_map.external["external"]'} | views


def test_new_resource_gets_as_much_as_the_others(plan: Plan, larger_plan: Plan) -> None:
    def parts(of: Plan, name: str) -> set[str]:
        pattern = re.compile(rf'\["{name}(?P<rest>_current|_events| [^"]*)?"\]$')
        return {
            pattern.sub(lambda match: match["rest"] or "", address)
            for address in of.values
            if pattern.search(address)
        }

    assert parts(larger_plan, NEW_RESOURCE)
    for name in load_registry(ROOT / "schemas"):
        assert parts(plan, name) == parts(larger_plan, NEW_RESOURCE)


def test_longest_name_fits_everywhere(larger_plan: Plan) -> None:
    (service,) = (
        values["name"]
        for address, values in larger_plan.of_type("google_cloud_run_v2_service").items()
        if NEW_RESOURCE in address
    )
    (account,) = (
        values["account_id"]
        for address, values in larger_plan.of_type("google_service_account").items()
        if NEW_RESOURCE in address
    )
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,47}[a-z0-9]", service)
    assert re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", account)


@pytest.mark.parametrize(
    "type_",
    [
        "google_secret_manager_secret_version",
        "google_secret_manager_regional_secret_version",
        "google_service_account_key",
        "random_password",
        "tls_private_key",
    ],
)
def test_state_holds_no_secret(plan: Plan, type_: str) -> None:
    assert not plan.of_type(type_)


def test_service_accounts_have_no_project_wide_role_but_to_run_jobs(plan: Plan) -> None:
    bindings = {
        (values["role"], values["member"])
        for address, values in plan.values.items()
        if re.match(
            r"module\.vitalflow\.google_(project|folder|organization)_iam_member\.", address
        )
        and not values["member"].startswith(("group:", "user:"))
    }
    assert bindings == {
        (role, f"serviceAccount:vitalflow-{account}@demo-project.iam.gserviceaccount.com")
        for role, account in (
            ("roles/dataflow.worker", "pipeline"),
            ("roles/bigquery.jobUser", "status"),
            ("roles/bigquery.jobUser", "reconciliation"),
        )
    }


def test_no_policy_is_taken_over_whole(plan: Plan) -> None:
    """An authoritative binding would remove what others in the project were given."""
    assert not [a for a in plan.values if re.search(r"_iam_(policy|binding)\.", a)]


def test_nobody_is_everybody(plan: Plan) -> None:
    everybody = {"allUsers", "allAuthenticatedUsers"}
    assert not [a for a, values in plan.values.items() if values.get("member") in everybody]
    for dataset in plan.of_type("google_bigquery_dataset").values():
        groups = {
            access["special_group"] for access in dataset["access"] if access["special_group"]
        }
        assert groups == {"projectOwners"}


def test_endpoints_start_with_what_they_are_given(plan: Plan) -> None:
    environments = {
        env.pop("FUNCTION_TARGET"): env
        for service in plan.of_type("google_cloud_run_v2_service").values()
        for env in [
            {
                variable["name"]: variable["value"]
                for variable in service["template"][0]["containers"][0]["env"]
            }
        ]
    }
    # The plan has a load balancer, which appends an address of its own.
    settings = Settings(project_id="demo-project", forwarded_for_position=2)
    assert StatusSettings.from_env(environments.pop("status")) == StatusSettings(settings)
    assert environments.keys() == load_registry(ROOT / "schemas").keys()
    for env in environments.values():
        assert Settings.from_env(env) == settings


def test_a_method_and_a_path_lead_to_their_service(plan: Plan) -> None:
    (url_map,) = plan.of_type("google_compute_url_map").values()
    (matcher,) = url_map["path_matcher"]
    rules = sorted(matcher["route_rules"], key=lambda rule: rule["priority"])

    def service(method: str, path: str) -> int | None:
        """The priority of the rule that takes a request; that of the status service is 1."""
        for rule in rules:
            for match in rule["match_rules"]:
                template = (match["path_template_match"] or "").replace("*", "[^/]+")
                methods = {header["exact_match"] for header in match["header_matches"]}
                if (
                    path == match["full_path_match"]
                    or (match["prefix_match"] and path.startswith(match["prefix_match"]))
                    or (template and re.fullmatch(template, path))
                ) and (not methods or method in methods):
                    return int(rule["priority"])
        return None

    event = "events/019c1c2e-5a70-7e55-9d0a-11c4b2a9f3e0"
    own = {name: service("POST", f"/v1/{name}") for name in load_registry(ROOT / "schemas")}
    assert len({*own.values()} - {None, 1}) == len(own)
    for name, priority in own.items():
        assert service("GET", f"/v1/{name}/{event}") == 1
        assert service("DELETE", f"/v1/{name}/{event}") == priority
        assert service("DELETE", f"/v1/{name}/key") == priority
        assert service("GET", f"/v1/{name}_more") is None
    assert service("POST", "/v1/audit_log") is None
    assert service("GET", "/livez") is None


def test_alerts_look_for_lines_that_are_logged(plan: Plan) -> None:
    policies = json.dumps(plan.of_type("google_monitoring_alert_policy"))
    (metric,) = plan.of_type("google_logging_metric").values()
    sources = "".join(path.read_text() for path in (ROOT / "functions").glob("*.py"))
    message = "Secret Manager does not answer"
    assert message in policies
    assert message in Path(auth.__file__).read_text()
    (sink,) = plan.of_type("google_logging_project_sink").values()
    assert 'jsonPayload.message="audit chain head"' in sink["filter"]
    assert '_log.info("audit chain head"' in sources
    assert 'jsonPayload.logger=\\"vitalflow.app\\"' in json.dumps(metric["filter"])
    assert 'get_logger("app")' in sources
    assert '"publish_refused"' in sources
    assert "publish_refused" in policies


def test_charts_show_counters_that_the_pipeline_counts(plan: Plan) -> None:
    metrics = pytest.importorskip("beam_pipeline.metrics").ResourceMetrics("patients")
    counted = {
        metric.metric_name.name for metric in vars(metrics).values() if not isinstance(metric, str)
    }
    (dashboard,) = plan.of_type("google_monitoring_dashboard").values()
    policies = plan.of_type("google_monitoring_alert_policy")
    text = dashboard["dashboard_json"] + json.dumps(policies)
    shown = set(re.findall(r'metric_name=~?\\+"([a-z_]+?)(?:_\(MEAN\|MAX\)|\.\*)?\\+"', text))
    assert shown >= {"read", "loaded", "end_to_end_latency_ms", "dead_"}
    assert shown - {"dead_"} <= counted


def test_job_gets_parameters_that_it_takes(plan: Plan) -> None:
    options = pytest.importorskip("beam_pipeline.options")
    (job,) = plan.of_type("google_dataflow_flex_template_job").values()
    parsed = options.VitalflowOptions([f"--{k}={v}" for k, v in job["parameters"].items()])
    assert {name: getattr(parsed, name) for name in job["parameters"]} == job["parameters"]

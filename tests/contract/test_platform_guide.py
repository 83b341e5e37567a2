"""docs/platform.md names only what there is."""

import re

import pytest

from tests.fixtures.images import ROOT

TEXT = (ROOT / "docs/platform.md").read_text()
TERRAFORM = {path.name: path.read_text() for path in (ROOT / "terraform").glob("*.tf")}
OBJECTS = (
    *("access", "archive", "audit_heads", "bigquery", "endpoint"),
    *("load_balancer", "monitoring", "network", "pipeline", "pubsub", "status"),
)
SETTINGS = sorted(set(re.findall(rf"`({'|'.join(OBJECTS)})\.(\w+)", TEXT)))


def variable(name: str) -> str:
    texts = "\n".join(text for file, text in TERRAFORM.items() if file.startswith("variables"))
    found = re.search(rf'^variable "{name}" \{{\n(.*?)^\}}', texts, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


@pytest.mark.parametrize(("name", "member"), SETTINGS, ids=".".join)
def test_settings_exist(name: str, member: str):
    assert re.search(rf"^    {member} += optional\(", variable(name), re.MULTILINE)


def test_the_first_try_sets_what_exists():
    hcl = TEXT.partition("```hcl\n")[2].partition("```")[0]

    assert set(re.findall(r"^  (\w+) +=", hcl, re.MULTILINE)) <= set(
        re.findall(r"^    (\w+) += optional", variable("access"), re.MULTILINE)
    )
    assert 'ingress               = optional(string, "internal' in variable("endpoint")


@pytest.mark.parametrize("output", re.findall(r"output -json (\w+)|outputs? `(\w+)`", TEXT))
def test_outputs_exist(output: tuple[str, str]):
    assert f'output "{"".join(output)}" {{' in TERRAFORM["outputs.tf"]


def test_outputs_that_commands_read_raw_are_text():
    for name in re.findall(r"output -raw (\w+)", TEXT):
        assert f'output "{name}" {{' in TERRAFORM["outputs.tf"]


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)]+)\)", TEXT))
def test_links_lead_somewhere(link: str):
    path, _, anchor = link.partition("#")
    target = ROOT / "docs" / path if path else ROOT / "docs/platform.md"
    headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)

    assert not anchor or anchor in {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def test_every_service_account_is_in_the_table_of_rights():
    table = TEXT.partition("## Who may do what")[2].partition("##")[0]

    accounts = set(
        re.findall(r'account_id += "\$\{local\.app\}-(\w+)"', TERRAFORM["service_accounts.tf"])
    )
    assert {"pipeline", "status", "reconciliation"} <= accounts
    for account in ("<resource>-endpoint", *(f"vitalflow-{a}" for a in {*accounts, "deploy"})):
        assert f"`{account}`" in table
    for file in ("iam_endpoints.tf", "iam_pipeline.tf", "iam_status.tf", "reconciliation.tf"):
        for role in re.findall(r'"(roles/[\w.]+)"', TERRAFORM[file]):
            assert f"`{role}`" in table

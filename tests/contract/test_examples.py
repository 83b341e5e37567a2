"""Every example under schemas/examples/ passes, or breaks exactly the rules that it names."""

import json

import pytest

from schemas.registry import SCHEMAS_DIR, load_registry
from schemas.validation import Validator

REGISTRY = load_registry()
EXAMPLES = sorted((SCHEMAS_DIR / "examples").glob("*/*.json"))


def cases(kind):
    paths = [path for path in EXAMPLES if path.name.endswith(f".{kind}.json")]
    return [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in paths]


def validator(path):
    return Validator(REGISTRY[path.parent.name])


@pytest.mark.parametrize("path", cases("pass"))
def test_pass(path):
    assert validator(path).errors(json.loads(path.read_bytes())) == []


@pytest.mark.parametrize("path", cases("fail"))
def test_fail(path):
    case = json.loads(path.read_bytes())

    errors = validator(path).errors(case["record"])

    assert [{"path": error.path, "rule": error.rule} for error in errors] == case["breaks"]


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize(("kind", "least"), [("pass", 3), ("fail", 6)])
def test_enough_examples(name, kind, least):
    assert len(list((SCHEMAS_DIR / "examples" / name).glob(f"*.{kind}.json"))) >= least


def test_every_example_is_of_a_resource_and_of_a_kind():
    for path in EXAMPLES:
        assert path.parent.name in REGISTRY, path
        assert path.name.endswith((".pass.json", ".fail.json")), path

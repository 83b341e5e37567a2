"""What a contract becomes in BigQuery: the table's definition and the views that people query."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Final

from schemas.columns import Column
from schemas.registry import DATA, OPS, Resource, default_schemas_dir

__all__ = [
    "DATA",
    "OPS",
    "View",
    "load_tables",
    "load_views",
    "system_view_query",
    "table_definition",
    "view_queries",
]

_DATASET_LINE: Final = "-- dataset: "
_MILLISECONDS_A_DAY: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class View:
    """A view: its name, the dataset it stands in and its query, names filled in."""

    name: str
    dataset: str
    sql: str


def table_definition(resource: Resource) -> dict[str, Any]:
    """Return a resource's table as BigQuery's REST API describes one, plus `dataset`.

    https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#Table. Columns of protected
    health information name the policy tag of their class as `${policy_tag_<class>}`.
    """
    columns = {column.name: column.column for column in resource.columns}
    return {
        "dataset": resource.dataset,
        "tableId": resource.name,
        "description": resource.description,
        "timePartitioning": {
            "type": resource.partition,
            "field": "created_ts",
            "expirationMs": str(resource.retention_days * _MILLISECONDS_A_DAY),
        },
        "clustering": {"fields": [columns[name] for name in resource.cluster]},
        "schema": {"fields": [_field(column) for column in resource.table_columns]},
    }


def _field(column: Column, phi: str | None = None) -> dict[str, Any]:
    phi = column.phi or phi
    field: dict[str, Any] = {
        "name": column.column,
        "type": column.type,
        "mode": column.mode,
        "description": column.description,
    }
    if column.fields:
        field["fields"] = [_field(child, phi) for child in column.fields]
    elif phi:  # BigQuery takes policy tags on leaves alone: a record's class falls to its fields
        field["policyTags"] = {"names": [f"${{policy_tag_{phi}}}"]}
    return field


def view_queries(resource: Resource) -> dict[str, str]:
    """Return the text of each view on a resource's table by the view's name.

    `${project}` and `${dataset}` stand for the names that the deployment chooses.
    """
    columns = {column.name: column.column for column in resource.columns}
    names = {
        "dataset_line": _DATASET_LINE + resource.dataset,
        "dataset": "dataset" if resource.dataset == DATA else "ops_dataset",
        "resource": resource.name,
        "key": ", ".join(columns[name] for name in resource.key),
    }
    views = {f"{resource.name}_events": _EVENTS.substitute(names)}
    if resource.dataset == DATA:  # what the system writes has no later state
        views[f"{resource.name}_current"] = _CURRENT.substitute(names)
    return views


# A repeat has the same event_id; its first arrival is kept.
_EVENTS: Final = Template("""\
$dataset_line
-- Every change of $resource once, tombstones among them.
SELECT * EXCEPT (arrival)
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY event_id ORDER BY publish_ts, created_ts
  ) AS arrival
  FROM `$${project}.$${$dataset}.$resource`
)
WHERE arrival = 1
""")
# Two changes in one microsecond are ordered by event_id, which grows with time.
_CURRENT: Final = Template("""\
$dataset_line
-- The newest state of each of $resource; what was deleted is left out.
SELECT * EXCEPT (age)
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY $key ORDER BY updated_ts DESC, event_id DESC, publish_ts
  ) AS age
  FROM `$${project}.$${dataset}.$resource`
)
WHERE age = 1 AND is_active
""")


_EACH_RESOURCE = re.compile(
    r"^ *-- for each resource\n(.*?)^( *)-- union all\n", re.DOTALL | re.MULTILINE
)


def system_view_query(text: str, resources: Iterable[str]) -> str:
    """Return the text of a view in `schemas/system/`, which may speak of all resources.

    What stands between the lines `-- for each resource` and `-- union all` is repeated for each
    of them, with its name for `${resource}`.
    """
    names = sorted(resources)

    def repeat(block: re.Match[str]) -> str:
        union = f"{block[2]}UNION ALL\n"
        return union.join(block[1].replace("${resource}", name) for name in names)

    return _EACH_RESOURCE.sub(repeat, text)


def load_tables(
    schemas_dir: Path | None = None, policy_tags: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Read every generated table definition, the system's own among them.

    Args:
        schemas_dir: As for `load_registry`.
        policy_tags: Full names of policy tags by class (`identifier`, `sensitive`). Without
            them columns carry none.
    """
    folder = (schemas_dir or default_schemas_dir()) / "bigquery" / "tables"
    tables = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    for table in tables:
        _set_policy_tags(table["schema"]["fields"], policy_tags or {})
    return tables


def _set_policy_tags(fields: Iterable[dict[str, Any]], policy_tags: Mapping[str, str]) -> None:
    for field in fields:
        _set_policy_tags(field.get("fields", ()), policy_tags)
        if "policyTags" in field:
            names = {f"${{policy_tag_{name}}}": tag for name, tag in policy_tags.items()}
            tags = [names[name] for name in field.pop("policyTags")["names"] if name in names]
            if tags:
                field["policyTags"] = {"names": tags}


def load_views(
    project: str, dataset: str, ops_dataset: str, schemas_dir: Path | None = None
) -> list[View]:
    """Read every generated view with the deployment's names filled in."""
    folder = (schemas_dir or default_schemas_dir()) / "bigquery" / "views"
    names = {"project": project, "dataset": dataset, "ops_dataset": ops_dataset}
    views = []
    for path in sorted(folder.glob("*.sql")):
        text = path.read_text()
        home = text.partition("\n")[0].removeprefix(_DATASET_LINE)
        sql = Template(text).substitute(names)
        views.append(View(path.stem, ops_dataset if home == OPS else dataset, sql))
    return views

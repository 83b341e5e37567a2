"""Writes everything that follows from the contracts; `--check` tells whether it is up to date.

Usage: python -m schemas.generate [--check] [--remove RESOURCE ...]
"""

import argparse
import difflib
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from schemas.bigquery import system_view_query, table_definition, view_queries
from schemas.bounds import bounded
from schemas.columns import Column, JsonSchema, SchemaError
from schemas.compatibility import breaking_changes, self_contained
from schemas.openapi import build_openapi
from schemas.registry import (
    Registry,
    default_schemas_dir,
    load_registry,
    load_system_registry,
)

_COMPONENTS = "#/components/schemas/"


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 1 where a contract or a generated file is wrong."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    parser.add_argument(
        "--remove", action="append", default=[], metavar="RESOURCE",
        help="let this resource go: its file is gone on purpose",
    )  # fmt: skip
    options = parser.parse_args(argv)
    schemas_dir = default_schemas_dir()
    try:
        registry = load_registry(schemas_dir)
        refuse_taken_names(registry, schemas_dir)
        refuse_breaking_changes(schemas_dir / "openapi.yaml", registry, options.remove)
    except SchemaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    wanted = dict(generated_files(registry, schemas_dir))
    stale = sorted(_generated_paths(schemas_dir) - wanted.keys())
    if options.check:
        return _check(wanted, stale)
    for path in stale:
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sys.stdout.write(f"{len(registry)} resources, {len(wanted)} files\n")
    return 0


def generated_files(registry: Registry, schemas_dir: Path) -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of every generated file."""
    tables = schemas_dir / "bigquery" / "tables"
    views = schemas_dir / "bigquery" / "views"
    for resource in (*registry.values(), *load_system_registry(schemas_dir).values()):
        yield tables / f"{resource.name}.json", _json(table_definition(resource))
        for name, sql in view_queries(resource).items():
            yield views / f"{name}.sql", sql
    for path in _system_tables(schemas_dir):
        yield tables / path.name, _json(json.loads(path.read_bytes()))
    for path in sorted((schemas_dir / "system").glob("*.sql")):
        yield views / path.name, system_view_query(_with_parts(path), registry)
    yield schemas_dir / "openapi.yaml", _yaml(build_openapi(registry))
    docs = schemas_dir.parent / "docs"
    if docs.is_dir():
        yield docs / "resources.md", _data_dictionary(registry)


def refuse_taken_names(registry: Registry, schemas_dir: Path) -> None:
    """Compare the resources' names with those of the system's own tables and views.

    Raises:
        SchemaError: Two would have the same topic or the same generated file.
    """
    system = load_system_registry(schemas_dir)
    taken = {*system, *(path.stem for path in _system_tables(schemas_dir))}
    for name in sorted(taken & registry.keys()):
        raise SchemaError(f"{name}.schema.json", "$", "is the name of a table of the system's own")


def _system_tables(schemas_dir: Path) -> list[Path]:
    """Return the tables that are written down as BigQuery describes them."""
    paths = sorted((schemas_dir / "system").glob("*.json"))
    return [path for path in paths if not path.name.endswith(".schema.json")]


def refuse_breaking_changes(published: Path, registry: Registry, removed: list[str]) -> None:
    """Compare the contracts with those that were generated last.

    Raises:
        SchemaError: A change breaks a table or a producer, and the version was not raised.
    """
    if not published.exists():
        return
    components = yaml.load(published.read_text(), Loader=_LOADER)["components"]["schemas"]  # noqa: S506  (safe, in C where it is built)
    for name, old in components.items():
        if "x-ingest" not in old:
            continue
        file = f"{name}.schema.json"
        if name not in registry:
            if name not in removed:
                reason = "is gone; its table would follow. If that is meant: --remove " + name
                raise SchemaError(file, "$", reason)
            continue
        resource = registry[name]
        before, after = old["x-ingest"]["version"], resource.version
        if after < before:
            raise SchemaError(file, "$.x-ingest.version", f"was {before} already")
        broken = breaking_changes(
            self_contained(_local(old, name), _definitions(components, name)),
            self_contained(current := bounded(resource.schema), current.get("$defs", {})),
        )
        if broken and after == before:
            reason = f"breaks version {before}; raise x-ingest.version if that is meant: "
            raise SchemaError(file, "$", reason + "; ".join(broken))


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _definitions(components: dict[str, JsonSchema], resource: str) -> dict[str, JsonSchema]:
    prefix = f"{resource}."
    return {
        name.removeprefix(prefix): _local(schema, resource)
        for name, schema in components.items()
        if name.startswith(prefix)
    }


def _local(node: Any, resource: str) -> Any:
    """Turn references to components back into references to `$defs`."""
    if isinstance(node, list):
        return [_local(item, resource) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value.replace(f"{_COMPONENTS}{resource}.", "#/$defs/")
        if key == "$ref"
        else _local(value, resource)
        for key, value in node.items()
    }


def _with_parts(path: Path) -> str:
    """Return a view's text, with that of another where it says `-- the query of <view>`.

    A view that names another could not be made beside it: Terraform makes all of them at once.
    """

    def query(line: re.Match[str]) -> str:
        text = path.with_name(f"{line[2]}.sql").read_text()
        _, _, body = text.partition("\n")
        return textwrap.indent(body, line[1])

    return re.sub(r"^( *)-- the query of (\w+)\n", query, path.read_text(), flags=re.MULTILINE)


def _generated_paths(schemas_dir: Path) -> set[Path]:
    folder = schemas_dir / "bigquery"
    return {*folder.glob("tables/*.json"), *folder.glob("views/*.sql")}


def _check(wanted: dict[Path, str], stale: list[Path]) -> int:
    for path in stale:
        sys.stdout.write(f"{path}: nothing generates this any more\n")
    differences = 0
    for path, text in wanted.items():
        found = path.read_text() if path.exists() else ""
        if found != text:
            differences += 1
            lines = difflib.unified_diff(
                found.splitlines(), text.splitlines(), str(path), "generated", lineterm=""
            )
            sys.stdout.write("\n".join(lines) + "\n")
    if differences or stale:
        sys.stderr.write("Generated files are out of date: run `make generate` and commit.\n")
        return 1
    return 0


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


class _PlainDumper(yaml.SafeDumper):
    """Writes repeated values out instead of linking them, which readers find hard to follow."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _yaml(document: Any) -> str:
    head = "# Generated by `make generate` from schemas/resources/. Do not edit.\n"
    text = yaml.dump(document, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=100)
    return head + text


def _data_dictionary(registry: Registry) -> str:
    lines = [
        "<!-- Generated by `make generate` from schemas/resources/. Do not edit. -->",
        "# The resources",
        "",
        "Each is an endpoint, a Pub/Sub topic, a table and two views, all of the same name.",
        "Every table ends with the columns that [analysts.md](analysts.md) explains.",
    ]
    for resource in registry.values():
        lines += [
            "",
            f"## {resource.name}",
            "",
            resource.description,
            "",
            f"`POST /v1/{resource.name}` · key `{'`, `'.join(resource.key)}` · version "
            f"{resource.version} · kept {resource.retention_days} days · unknown fields: "
            f"{resource.unknown_fields}",
            "",
            "| column | type | sent as | protected | meaning |",
            "|---|---|---|---|---|",
            *_rows(resource.columns, "", ""),
        ]
    return "\n".join(lines) + "\n"


def _rows(columns: tuple[Column, ...], prefix: str, sent_prefix: str) -> Iterator[str]:
    for column in columns:
        path, sent = f"{prefix}{column.column}", f"{sent_prefix}{column.name}"
        repeated = column.mode == "REPEATED"
        type_ = f"ARRAY of {column.type}" if repeated else column.type
        meaning = column.description.replace("|", "\\|")
        yield f"| `{path}` | {type_} | `{sent}` | {column.phi or ''} | {meaning} |"
        mark = "[]." if repeated else "."
        yield from _rows(column.fields, f"{path}{mark}", f"{sent}{mark}")


if __name__ == "__main__":
    sys.exit(main())

"""Writes the tables of docs/performance.md from results.json, so that none is copied by hand.

`python -m benchmarks.document` replaces what stands between `<!-- name -->` and `<!-- /name -->`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import ROOT, scale
from benchmarks.report import (
    edge_tables,
    end_to_end_table,
    markdown,
    pipeline_table,
    targets,
)

DOCUMENT: Final = ROOT / "docs" / "performance.md"

Results = Mapping[str, Any]


def render(text: str, results: Results) -> str:
    """Return a document with its tables as these results give them."""
    for name, section in SECTIONS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, begun, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not begun or not ended:
            raise ValueError(f"docs/performance.md has no section {name}")
        text = f"{before}{begin}{section(results)}\n{end}{after}"
    return text


def _edge(results: Results) -> str:
    return "\n\n".join(edge_tables(results))


def _targets(results: Results) -> str:
    rows = [
        (target, value, "yes" if holds else "**no**") for target, value, holds in targets(results)
    ]
    return markdown(("target", "measured", "holds"), rows)


def _start_up(results: Results) -> str:
    start = results["start_up"]
    return (
        f"First 202 of a new process: {start['first_202_seconds']:.2f} s with one resource, "
        f"{start['first_202_seconds_all_resources']:.2f} s with all of them; "
        f"{start['import_seconds']:.2f} s of it are imports."
    )


def _profiles(results: Results) -> str:
    parts = []
    for name, top in results["profiles"].items():
        rows = [(f"`{each['function']}`", f"{each['share']:.1%}") for each in top]
        parts.append(markdown((name, "samples"), rows))
    return "\n\n".join(parts)


def _machine(results: Results) -> str:
    machine, packages = results["machine"], results["machine"]["packages"]
    versions = ", ".join(f"{name} {number}" for name, number in packages.items())
    return (
        f"Measured {results['measured'][:16].replace('T', ' ')} UTC on {machine['processor']}, "
        f"Python {machine['python']}: {versions}. Void runs: {len(results['voids'])}."
    )


SECTIONS: Final[dict[str, Callable[[Results], str]]] = {
    "machine": _machine,
    "edge": _edge,
    "pipeline": pipeline_table,
    "end_to_end": end_to_end_table,
    "targets": _targets,
    "start_up": _start_up,
    "profiles": _profiles,
    "scale": scale.table,
}


def write(results: Results, path: Path = DOCUMENT) -> None:
    """Write the document with the tables of these results."""
    path.write_text(render(path.read_text(), results))


if __name__ == "__main__":
    write(scale.load_results())

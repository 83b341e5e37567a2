"""Turns results into the table that is printed and quoted: ratios first, as they travel best."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.contenders import FLOOR, NODE, OURS, TEXTBOOK
from benchmarks.jobs import STOCK, STOCK_WITH_OURS

Results = Mapping[str, Any]
Row = Sequence[str]

_SCENARIO_TITLES: Final = {
    "single_32": "one 1 KB record a request, 32 connections",
    "single_128": "one 1 KB record a request, 128 connections",
    "bulk_500": "500 records a request, 8 connections",
}


def times(cost: Results, other: Results) -> float:
    """Return how many times another's a cost is: the median of what it is in each round.

    What both have in common in a round, the machine's speed of the moment, so drops out.
    """
    runs = zip(cost["cpu_us_runs"], other["cpu_us_runs"], strict=True)
    return float(median(mine / theirs for mine, theirs in runs))


def markdown(header: Row, rows: Sequence[Row]) -> str:
    """Return a table; all columns but the first are numbers."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "--:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def edge_tables(results: Results) -> Iterator[str]:
    """Yield the tables of the endpoint and its peers."""
    edge = results["edge"]
    header = ("", "CPU µs a record", "× ours", "records/s, one core", "p50 ms", "p99 ms", "RSS MB")
    for scenario, title in _SCENARIO_TITLES.items():
        figures = edge["scenarios"][scenario]
        rows = [
            (
                edge["titles"][name],
                f"{each['cpu_us']:,.1f}",
                f"{times(each, figures[OURS]):.1f} ×",
                f"{each['per_second']:,}",
                f"{each['p50_ms']:.1f}",
                f"{each['p99_ms']:.1f}",
                f"{each['memory_mb']:,.0f}",
            )
            for name, each in sorted(figures.items(), key=lambda item: item[1]["cpu_us"])
        ]
        yield f"**{title}**\n\n{markdown(header, rows)}"
    half = edge["half_load"]
    yield (
        f"At half of what it can do, {half['rate']:,} requests/s: p50 {half['p50_ms']:.1f} ms, "
        f"p99 {half['p99_ms']:.1f} ms, {half['late']} answers after the deadline."
    )


def pipeline_table(results: Results) -> str:
    """Return the table of the pipeline and the stock sink."""
    ours, stock = results["pipeline"]["ours"], results["pipeline"]["stock"]
    forms = ("single", "packed")
    rows = [
        (name, *(f"{ours[form][name]['cpu_us']:.1f}" for form in forms)) for name in ours["single"]
    ]
    titles = {
        STOCK: "json.loads, jsonschema, WriteToBigQuery",
        STOCK_WITH_OURS: "the same with our validation",
    }
    for kind, title in titles.items():
        if stock:
            rows.append((title, *(f"{stock[form][kind]['cpu_us']:,.0f}" for form in forms)))
    return markdown(("CPU µs a record", "single", "packed"), rows)


def end_to_end_table(results: Results) -> str:
    """Return the table of the embedded stack."""
    stages = ("endpoint", "pubsub", "pipeline", "bigquery")
    header = ("", "records/s, HTTP to visible row", *(f"{stage} CPU µs" for stage in stages))
    rows = [
        (form, f"{each['per_second']:,}", *(f"{each['cpu_us'][stage]:,.0f}" for stage in stages))
        for form, each in results["end_to_end"].items()
    ]
    return markdown(header, rows)


def targets(results: Results) -> list[tuple[str, str, bool]]:
    """Return each target, what was measured, and whether it holds."""
    found: list[tuple[str, str, bool]] = []

    def at_most(target: str, value: float, limit: float, unit: str) -> None:
        found.append((target, f"{value:,.1f} {unit}".strip(), value <= limit))

    def at_least(target: str, value: float, limit: float) -> None:
        found.append((target, f"{value:,.1f} ×", value >= limit))

    scenarios = results["edge"]["scenarios"]
    for scenario in ("single_32", "single_128"):
        cost = scenarios[scenario]
        connections = scenario.partition("_")[2]
        if TEXTBOOK in cost:
            ratio = times(cost[TEXTBOOK], cost[OURS])
            at_least(f"textbook costs 8 × as much, {connections} connections", ratio, 8)
        if NODE in cost:
            ratio = times(cost[NODE], cost[OURS])
            at_least(f"Node costs 2 × as much, {connections} connections", ratio, 2)
        floor = times(cost[OURS], cost[FLOOR])
        at_most(f"at most 2.5 × the floor, {connections} connections", floor, 2.5, "×")
    bulk = scenarios["bulk_500"][OURS]["cpu_us"]
    at_most("bulk: at most 10 µs a record", bulk, 10, "µs")
    if TEXTBOOK in scenarios["single_32"]:
        single = scenarios["single_32"][TEXTBOOK]["cpu_us"]
        at_least("bulk: textbook costs 60 × as much, record by record", single / bulk, 60)
    half = results["edge"]["half_load"]
    at_most("p99 at half load under 20 ms", half["p99_ms"], 20, "ms")
    at_most("no request over the deadline", half["late"], 0, "")
    for form, limit in (("single", 15), ("packed", 9)):
        costs = [each["cpu_us"] for each in results["pipeline"]["ours"][form].values()]
        worst = max(costs)
        at_most(f"pipeline, {form}: at most {limit} µs, dearest resource", worst, limit, "µs")
    for form, kinds in results["pipeline"]["stock"].items():
        stock = kinds[STOCK_WITH_OURS]["cpu_us"]
        mine = results["pipeline"]["ours"][form]["patients"]["cpu_us"]
        at_least(f"pipeline, {form}: the stock sink costs 25 × as much", stock / mine, 25)
    start = results["start_up"]["first_202_seconds"]
    at_most("first 202 of a new process under 1.5 s", start, 1.5, "s")
    return found


def summary(results: Results) -> str:
    """Return all that is printed at the end."""
    marks = [
        f"  {'holds ' if holds else 'MISSED'}  {target}: {value}"
        for target, value, holds in targets(results)
    ]
    start = results["start_up"]
    parts = [
        *edge_tables(results),
        f"**pipeline**\n\n{pipeline_table(results)}",
        f"**embedded stack**\n\n{end_to_end_table(results)}",
        f"**start-up** first 202 after {start['first_202_seconds']} s, "
        f"of which imports {start['import_seconds']} s",
        *results["notes"],
        f"{len(results['voids'])} void run(s)"
        + "".join(f"\n  {void}" for void in results["voids"]),
        "\n".join(marks),
    ]
    return "\n\n".join(parts)

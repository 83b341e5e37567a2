"""Draws the growth curves and the comparison, small enough to be committed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from benchmarks import ROOT
from benchmarks.contenders import FLOOR, OURS
from benchmarks.report import times

FOLDER: Final = ROOT / "benchmarks" / "plots"
_INK, _OURS, _PEER, _FLOOR = "#333333", "#0b6e4f", "#9aa5b1", "#d5dae0"
_LINES: Final = ("#0b6e4f", "#c8553d", "#3d5a80")
_DPI: Final = 110

# The figure that each curve shows, its axes, and whether they are logarithmic.
CURVES: Final = {
    "size": ("record size, bytes", "cpu_us", "CPU µs a record", "log", "log"),
    "resources": ("resources in one process", "cpu_us", "CPU µs a record", "linear", "linear"),
    "invalid": ("share of invalid records", "cpu_us", "CPU µs a record", "linear", "linear"),
    "connections": ("connections", "cpu_us", "CPU µs a record", "log", "linear"),
    "batch": ("records a request or message", "cpu_us", "CPU µs a record", "log", "log"),
    "age": ("records taken", "memory_mb", "resident MB", "linear", "linear"),
}


def draw(results: Mapping[str, Any], folder: Path = FOLDER) -> list[Path]:
    """Write a PNG for each curve and one for the comparison; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    drawn = [_comparison(results["edge"], folder / "peers.png")]
    for name, lines in results["growth"].items():
        drawn.append(_curve(name, lines, folder / f"{name}.png"))
    return drawn


def _comparison(edge: Mapping[str, Any], path: Path) -> Path:
    figures = edge["scenarios"]["single_32"]
    names = sorted(figures, key=lambda name: figures[name]["cpu_us"], reverse=True)
    costs = [figures[name]["cpu_us"] for name in names]
    colors = [{OURS: _OURS, FLOOR: _FLOOR}.get(name, _PEER) for name in names]
    figure, axes = plt.subplots(figsize=(6, 0.42 * len(names) + 0.8))
    bars = axes.barh([edge["titles"][name] for name in names], costs, color=colors)
    ratios = [times(figures[name], figures[OURS]) for name in names]
    labels = [f"{ratio:.1f} ×" for ratio in ratios]
    axes.bar_label(bars, labels, padding=3, color=_INK)
    axes.set_xlabel("CPU µs for one record of 1 KB, published and acknowledged; × ours")
    axes.set_xlim(0, max(costs) * 1.12)
    return _save(figure, path)


def _curve(name: str, lines: Mapping[str, Any], path: Path) -> Path:
    x_label, figure_name, y_label, x_scale, y_scale = CURVES[name]
    figure, axes = plt.subplots(figsize=(4.4, 2.6))
    for (label, points), color in zip(lines.items(), _LINES, strict=False):
        xs = [point["x"] for point in points]
        ys = [point[figure_name] for point in points]
        axes.plot(xs, ys, marker="o", markersize=3, linewidth=1.5, color=color, label=label)
    axes.set(xlabel=x_label, ylabel=y_label, xscale=x_scale, yscale=y_scale)
    if y_scale == "linear":
        axes.set_ylim(bottom=0)
    axes.grid(visible=True, color="#eeeeee")
    axes.legend(frameon=False)
    return _save(figure, path)


def _save(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return path

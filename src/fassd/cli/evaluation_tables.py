"""The tables that `fassd evaluate` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from fassd.scoring.conventions import Convention, GivenNumber

_BAR_WIDTH = 24
_LISTED_WORST = 3
_LISTED_CONVENTIONS = 8


def print_report(report: Mapping[str, Any]) -> None:
    """Prints the values of `Report.as_json`: a header, a table for each part, the official scores."""
    console = Console(highlight=False)
    if report["predictions"] is None:
        console.print(f"[bold]{escape(report['weights'])}[/] ({report['network']})", soft_wrap=True)
        scales = ", ".join(f"{scale:g}" for scale in report["scales"])
        views = "one scale" if report["scales"] == (1.0,) else f"probabilities averaged over scales {scales}"
        mirrored = " and mirrored" if report["flip"] else ""
        how = f"{report['runtime']}, {report['precision']}; {views}{mirrored}"
    else:
        console.print(f"predictions in [bold]{escape(report['predictions'])}[/]", soft_wrap=True)
        how = "files as they are"
    console.print(f"on [bold]{escape(report['data'])}[/], split {escape(report['split'])}", soft_wrap=True)
    rules = "at the labels' own resolution; ignored pixels never count"
    console.print(f"{how}; {rules}\n", style="dim", soft_wrap=True)
    _print_part(console, report, report.get("official"))
    for part in report["partially_annotated"]:
        _print_part(console, part, None)
    if "official" in report:
        _print_official(console, report["official"])
    worst = [f"{escape(one['name'])} {one['mean_iou'] * 100:.1f}" for one in report["worst"][:_LISTED_WORST]]
    if worst and report["images"] > 1:
        console.print(f"lowest images, mean IoU %: {', '.join(worst)}\n", style="dim", soft_wrap=True)


def _print_part(console: Console, part: Mapping[str, Any], official: Mapping[str, Any] | None) -> None:
    annotated = "every class annotated"
    if len(part["annotated"]) < len(part["confusion"]):
        annotated = f"only {len(part['annotated'])} classes annotated, only these predicted"
    sizes = ", ".join(f"{frames} of {size}" for size, frames in list(part["sizes"].items())[:4])
    more = f", {len(part['sizes']) - 4} more sizes" if len(part["sizes"]) > 4 else ""
    console.print(f"{part['images']} images ({sizes}{more}), {annotated}")
    console.print(_class_table(part, official))
    means = {
        "pixel accuracy": part["pixel_accuracy"],
        "mean recall": part["mean_accuracy"],
        "frequency-weighted IoU": part["frequency_weighted_iou"],
    }
    others = "   ".join(f"{name} {_score(value)}" for name, value in means.items())
    console.print(f"[bold]mean IoU {_score(part['mean_iou'])}[/]   {others}", soft_wrap=True)
    boundary = part["boundary"]
    if boundary is not None:
        within = f"within {100 * boundary['share_of_diagonal']:g} % of the diagonal"
        console.print(f"boundary IoU {_score(boundary['mean_iou'])} ({within})", soft_wrap=True)
        bands = [f"{band['width']} px {_short(band['mean_iou'])}" for band in part["trimap"]]
        console.print(f"mean IoU near borders, %: {'   '.join(bands)}", soft_wrap=True)
    if part["absent"]:
        names = escape(", ".join(part["absent"]))
        console.print(f"omitted from the mean, in neither labels nor predictions: {names}", soft_wrap=True)
    if part["predicted_no_class"]:
        console.print(f"predicted as no class, which counts as a miss: {part['predicted_no_class']:,} pixels")
    console.print()


def _class_table(part: Mapping[str, Any], official: Mapping[str, Any] | None) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    boundary = part["boundary"]
    for heading in ("IoU, %", "recall", *(["boundary"] if boundary else []), *(["iIoU"] if official else [])):
        table.add_column(heading, justify="right")
    table.add_column("")
    for name, score in part["iou"].items():
        cells = [_short(part["accuracy"][name])]
        if boundary:
            cells.append(_short(boundary["iou"][name]))
        if official:
            instance = official["instance_classes"]
            cells.append(_short(instance[name]) if name in instance else "")
        bar = "" if score is None else "█" * round(score * _BAR_WIDTH)
        table.add_row(escape(name), "absent" if score is None else f"{score * 100:.1f}", *cells, f"[cyan]{bar}[/]")
    return table


def _print_official(console: Console, official: Mapping[str, Any]) -> None:
    console.print("[bold]Cityscapes' official scores, %[/]")
    table = Table(box=None, pad_edge=False)
    for heading in ("", "IoU", "iIoU"):
        table.add_column(heading, justify="right" if heading else "left")
    means = official["averages"]
    table.add_row("classes", _short(means["classes"], 2), _short(means["instance_classes"], 2))
    table.add_row("categories", _short(means["categories"], 2), _short(means["instance_categories"], 2))
    for name, score in official["categories"].items():
        table.add_row(f"  {name}", _short(score), _short(official["instance_categories"].get(name)), style="dim")
    console.print(table)
    missing = official["images_without_instances"]
    if missing:
        console.print(f"no iIoU: {missing} images have no instanceIds file")
    console.print()


def print_explained(number: GivenNumber, found: list[Convention]) -> None:
    """Prints the conventions that give a number, and the nearest of the others."""
    console = Console(highlight=False)
    met = [one for one in found if one.meets]
    console.print(f"[bold]Where {escape(number.text)} may come from[/]")
    if not met:
        console.print("none of the conventions tried gives it; the nearest:")
    table = Table(box=None, pad_edge=False)
    for heading in ("", "score, %", "difference", "convention"):
        table.add_column(heading, justify="left" if heading in ("", "convention") else "right")
    for one in found[: max(_LISTED_CONVENTIONS, len(met))]:
        sign = "[green]=[/]" if one.meets else ""
        table.add_row(sign, f"{100 * one.score:.3f}", f"{100 * (one.score - number.value):+.3f}", escape(one.what))
    console.print(table)
    console.print()


def _score(value: float | None) -> str:
    return "none (no labeled pixel)" if value is None else f"{value * 100:.2f} %"


def _short(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value * 100:.{digits}f}"

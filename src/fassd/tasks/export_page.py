"""How an export compares with its source, as one page with pictures of the disagreement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fassd.tasks.agreement import BORDER, Compared, Disagreement, percent, worst_cases
from fassd.tasks.export_pictures import pictures_of
from fassd.tasks.page import document, plain_text

if TYPE_CHECKING:
    from fassd.tasks.drift import Drift
    from fassd.tasks.export import Exported

_SHOWN_CASES = 40


def page(done: Exported) -> str:
    """The page on an export."""
    return "\n".join(document(f"Export of {done.path.name}", _body(done), "fassd export")) + "\n"


def _body(done: Exported) -> Iterator[str]:
    space = done.checkpoint.header.label_space
    assert space is not None
    yield f"<h1>{plain_text(done.path.name)}</h1>"
    yield f'<p class="verdict">{_verdict(done)}</p>'
    yield from _facts(done)
    yield from _cases(done)
    if done.drift is not None:
        yield from _layers(done.drift)
    yield "<h2>Where the answers differ</h2>"
    yield (
        '<p class="left">On the picture: marked in pink. Beside it the part with most differing pixels, as the source '
        "and as the exported file answer it: in full colour where they differ, pale where they agree.</p>"
        if any((one.source != one.export).any() for one in done.agreement.worst)
        else '<p class="left">Nowhere: both answers, on the largest pictures.</p>'
    )
    for one in done.agreement.worst:
        yield f'<section class="kind"><h3>{plain_text(one.name)}<span class="count">{_differing(one)}</span></h3>'
        yield from pictures_of(one, space)
        yield "</section>"


def _verdict(done: Exported) -> str:
    agreement, precision = done.agreement, done.order.precision
    if not done.kept:
        return f'<b class="fault">Refused and not left on disk</b>: {plain_text(agreement.breaches[0])}.'
    good = "Answers as its source does" if precision == "float32" else f"Within what {precision} may cost"
    found = f"{percent(agreement.equal)} of the pixels are equal"
    if agreement.source_iou is not None and agreement.export_iou is not None:
        found = f"mean IoU {agreement.export_iou:.2%}, the source's {agreement.source_iou:.2%}; {found}"
    return f'<b class="good">{good}</b>: {found}.'


def _facts(done: Exported) -> Iterator[str]:
    order, agreement = done.order, done.agreement
    rows = [
        ("weights", f"{order.weights} ({done.checkpoint.header.network})"),
        ("file", f"{order.to}, {order.precision}, {'logits' if order.logits else 'class map'}, {done.bytes:,} bytes"),
        ("sha-256", done.digest),
        ("source", f"the same weights by {done.source}"),
        ("contract", _contract(done)),
        ("off borders", f"{_share(agreement.inner_differing)} differ farther than {BORDER} pixels from a class border"),
    ]
    if agreement.source_iou is not None and agreement.export_iou is not None:
        ious = f"{agreement.source_iou:.2%} of the source, {agreement.export_iou:.2%} of the file"
        rows.append(("mean IoU", f"{ious}, on {done.labelled_images}"))
    rows += [(key.replace("_", " "), _value(value)) for key, value in done.facts.items()]
    rows += [("breach", one) for one in agreement.told]
    rows += [("remedy", done.remedy)] if done.remedy else []
    yield "<dl>"
    yield from (f"<dt>{plain_text(key)}</dt><dd>{plain_text(value)}</dd>" for key, value in rows)
    yield "</dl>"


def _value(value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    return f"{len(value)}: {', '.join(value[:12])}{', ...' if len(value) > 12 else ''}" if value else "none"


def _contract(done: Exported) -> str:
    contract = done.agreement.contract
    each = f"{percent(contract.each)} of the pixels of every batch"
    if contract.iou_drop is not None and done.agreement.source_iou is not None:
        return f"mean IoU drops by at most {100 * contract.iou_drop:g} points; {each} are equal"
    return f"{percent(contract.equal)} of all pixels are equal, {each}"


def _cases(done: Exported) -> Iterator[str]:
    cases = done.agreement.cases
    shown = list(cases) if len(cases) <= _SHOWN_CASES else worst_cases(cases, _SHOWN_CASES)
    yield "<h2>What was compared</h2>"
    yield '<div class="scroll"><table>\n<tr><th>images</th><th>width x height</th><th class="number">equal</th>'
    yield '<th class="number">differing pixels</th><th class="number">off borders</th></tr>'
    yield from map(_row, shown)
    yield "</table></div>"
    if len(shown) < len(cases):
        yield f'<p class="left">The {len(shown)} that differ most, of {len(cases):,}.</p>'


def _row(one: Compared) -> str:
    size = f"{one.images} x {one.width} x {one.height}" if one.images > 1 else f"{one.width} x {one.height}"
    equal = one.problem or percent(1 - one.differing / one.pixels)
    return (
        f'<tr><td>{plain_text(one.name)}</td><td>{size}</td><td class="number">{plain_text(equal)}</td>'
        f'<td class="number">{one.differing:,}</td><td class="number">{one.inner_differing:,}</td></tr>'
    )


def _layers(drift: Drift) -> Iterator[str]:
    """Each layer's error, around the first that drifts."""
    sentence = plain_text(drift.sentence[:1].upper() + drift.sentence[1:])
    yield f'<h2>Layer by layer</h2>\n<p class="verdict">{sentence}.</p>'
    names = [one.layer for one in drift.layers]
    first = names.index(drift.first) if drift.first else len(names) - 1
    shown = drift.layers[max(0, first - 5) : first + 6]
    yield '<div class="scroll"><table>\n<tr><th>layer</th><th class="number">relative error</th><th></th></tr>'
    for one in shown:
        mark = "first to drift" if one.layer == drift.first else ""
        yield f'<tr><td><code>{plain_text(one.layer)}</code></td><td class="number">{one.error:.2g}</td>'
        yield f"<td>{mark}</td></tr>"
    yield "</table></div>"


def _share(share: float) -> str:
    return "none" if share == 0 else f"{100 * share:.4f} %"


def _differing(one: Disagreement) -> str:
    count = int((one.source != one.export).sum())
    return f"{count:,} of {one.source.size:,} pixels differ" if count else "no pixel differs"

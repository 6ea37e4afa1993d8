"""Pages: whatever text a template is given, it stays text."""

from __future__ import annotations

from importlib.resources import files

import pytest
from jinja2 import UndefinedError
from PIL import Image as Pillow

from fassd.core.labels import LabelClass
from fassd.exports.page import DisagreementFigure
from fassd.media.page import jpeg, render

EVIL = '"><script>alert(1)</script>&amp;\u202e\n'
VALUES = {
    "file": EVIL,
    "kept": False,
    "verdict": EVIL,
    "reason": EVIL,
    "facts": [(EVIL, EVIL)],
    "cases": [(EVIL,) * 5],
    "omitted_cases": EVIL,
    "drift_sentence": EVIL,
    "layers": [(EVIL, EVIL, True)],
    "any_differ": True,
    "figures": [
        DisagreementFigure(EVIL, EVIL, (jpeg(EVIL, Pillow.new("RGB", (4, 2))),), (LabelClass(EVIL, (1, 2, 3), 0),))
    ],
}


def test_text_cannot_change_a_page() -> None:
    page = render("export_report.html.jinja", EVIL, VALUES)
    assert page.startswith("<!DOCTYPE html>\n<html")
    assert "<script" not in page
    assert "\u202e" not in page
    assert page.count("&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;??") == 21
    assert "script-src" not in page
    assert "default-src 'none'" in page


def test_a_page_holds_its_style_sheet_and_its_images() -> None:
    page = render("export_report.html.jinja", EVIL, VALUES)
    assert (files("fassd") / "templates/page.css").read_text(encoding="utf-8") in page
    assert '<img src="data:image/jpeg;base64,' in page
    assert 'width="4" height="2"' in page


def test_a_value_that_a_template_misses_is_an_error() -> None:
    without = {name: value for name, value in VALUES.items() if name != "reason"}
    with pytest.raises(UndefinedError, match="reason"):
        render("export_report.html.jinja", "fassd export", without)

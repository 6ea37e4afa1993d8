from __future__ import annotations

import json

import pytest

from fassd.cli.main import run
from fassd.networks.specs import NETWORKS
from fassd.runtimes.rows import RUNTIMES


def test_the_table_names_every_runtime_and_what_is_picked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runtimes"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in RUNTIMES)
    assert "Every network runs on" in said


def test_a_missing_package_is_told_with_what_installs_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    run(["runtimes"])
    assert "pip install 'fassd[onnx]'" in capsys.readouterr().out


def test_programs_get_every_network_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runtimes", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [one["network"] for one in values["picked"]] == list(NETWORKS)
    assert all(one["runtime"] in RUNTIMES and one["why"] for one in values["picked"])
    assert {row["name"]: row["extra"] for row in values["runtimes"]}["openvino"] is None

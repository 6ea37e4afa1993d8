from __future__ import annotations

from pathlib import Path

import pytest

from fassd.core.catalog import DEFAULT_WEIGHTS, WEIGHTS, locate_weights
from fassd.core.errors import UnknownName


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_shipped_name_leads_into_the_package(name: str) -> None:
    path = locate_weights(name)
    assert (path.name, path.parent.name) == (f"{name}.safetensors", "weights")


def test_the_default_is_one_of_the_shipped() -> None:
    assert DEFAULT_WEIGHTS in WEIGHTS


@pytest.mark.parametrize("given", ["a/b.safetensors", "b.safetensors", "folder/b"])
def test_what_looks_like_a_file_is_taken_as_one_even_where_it_is_missing(given: str) -> None:
    assert locate_weights(given) == Path(given)


def test_a_file_without_suffix_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").touch()
    assert locate_weights("mine") == Path("mine")


def test_a_path_is_as_good_as_a_string(tmp_path: Path) -> None:
    assert locate_weights(tmp_path / "x.safetensors") == tmp_path / "x.safetensors"


def test_the_home_folder_may_be_abbreviated() -> None:
    assert locate_weights("~/x.safetensors") == Path.home() / "x.safetensors"


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"did you mean .*fassd-net-l2-street"):
        locate_weights("fassd-net-l2-stret")


def test_a_home_that_is_not_there_is_taken_as_it_was_given() -> None:
    assert locate_weights("~nobody-of-this-name/x.safetensors") == Path("~nobody-of-this-name/x.safetensors")

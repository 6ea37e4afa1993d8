"""The images that an export is compared and calibrated on, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.arrays import Image
from fassd.core.catalog import DEFAULT_WEIGHTS, locate_weights
from fassd.core.checkpoint import Header, read_header
from fassd.core.errors import DataError, UsageError
from fassd.core.types import Sample
from fassd.data.dataset import Pair
from fassd.exports import images as images_module
from fassd.exports.images import Cases, _cut, _mirrored, _odd, calibration_images, comparison_cases
from fassd.networks.specs import network_by_name


def test_images_are_cut_to_sizes_on_which_faults_show() -> None:
    """Odd sizes, a batch, and strips longer than the largest dilation reaches."""
    compared = comparison_cases(read_header(locate_weights(DEFAULT_WEIGHTS)), None, "val", ())
    cases = list(compared)
    shapes = [case.images.shape for case in cases]
    assert len(cases) == len(compared)
    assert min(shapes[0][1:3]) == 57
    assert all(side % 2 for shape in shapes[:6] for side in shape[1:3])
    assert [shape[0] for shape in shapes] == [1, 1, 1, 2, 1, 1, 1, 1]
    assert max(shapes[4][1:3]) == max(shapes[5][1:3]) > 36 * 64
    assert not (cases[3].images[0] == cases[3].images[1]).all()


STRIPS = {
    "fassd-net": (1217, 33),
    "fassd-net-l1": (1825, 49),
    "fassd-net-l2": (2433, 65),
    "fc-hardnet-70": (129, 65),
    "fc-hardnet-70-l2": (257, 129),
    "baseline": (65, 33),
    "baseline+aspp": (1217, 33),
    "baseline+mda": (321, 33),
}


def _numbered(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("network", STRIPS)
def test_strips_are_as_long_as_the_largest_dilation_needs(network: str) -> None:
    """The dilation and a pixel at either end, on the coarsest map; odd, and as wide as one pixel of that map."""
    cases = Cases((), _numbered(200, 150), _numbered(200, 150, 1), network_by_name(network), 0)
    assert cases._strip == STRIPS[network]
    assert min(cases._strip) > cases.smallest
    long, short = STRIPS[network]
    column, row = list(cases)[4:6]
    assert (column.name, column.images.shape) == (f"{short}x{long}, a column", (1, long, short, 3))
    assert (row.name, row.images.shape) == (f"{long}x{short}, a row", (1, short, long, 3))


@pytest.mark.parametrize(
    ("size", "cut", "half"),
    [
        ((200, 150), (199, 149), (199, 73)),
        ((201, 151), (199, 149), (199, 73)),
        ((202, 153), (201, 151), (201, 75)),
        ((29, 40), (29, 39), (29, 29)),
        ((31, 29), (29, 29), (29, 29)),
        ((34, 64), (33, 63), (33, 31)),
        ((34, 66), (33, 65), (33, 31)),
        ((34, 69), (33, 67), (33, 33)),
    ],
)
def test_cut_images_have_odd_sides_not_below_the_minimum(
    size: tuple[int, int], cut: tuple[int, int], half: tuple[int, int]
) -> None:
    """For a network whose shortest side is 29."""
    first, second = _numbered(*size), _numbered(*size, 1)
    smallest, odd, tall, batch = list(Cases((), first, second, network_by_name("fassd-net"), 0))[:4]
    assert (smallest.name, smallest.images.shape) == ("29x29, the smallest", (1, 29, 29, 3))
    assert (odd.name, odd.images.shape) == (f"{cut[1]}x{cut[0]}, cut to odd sizes", (1, *cut, 3))
    assert (tall.name, tall.images.shape) == (f"{half[1]}x{half[0]}, a tall half", (1, *half, 3))
    assert (batch.name, batch.images.shape) == ("a batch of 2", (2, *cut, 3))
    np.testing.assert_array_equal(odd.images[0], _cut(first, cut))
    np.testing.assert_array_equal(batch.images, [_cut(second, cut), _cut(first, cut)])
    assert all(case.labels is None for case in (smallest, odd, tall, batch))


def test_layers_are_compared_on_two_images_of_one_size() -> None:
    small = Cases((), _numbered(500, 700), _numbered(480, 640, 1), network_by_name("fassd-net-l2"), 0).small
    assert small.shape == (2, 241, 299, 3)


@pytest.mark.parametrize(("side", "odd"), [(1, -1), (2, 1), (3, 1), (4, 3), (240, 239), (241, 239), (243, 241)])
def test_the_largest_odd_side_below(side: int, odd: int) -> None:
    assert _odd(side) == odd


@pytest.mark.parametrize("size", [(5, 7), (4, 7), (5, 3), (2, 3), (1, 1)])
def test_a_cut_is_the_center(size: tuple[int, int]) -> None:
    image = _numbered(5, 7)
    top, left = (5 - size[0]) // 2, (7 - size[1]) // 2
    cut = _cut(image, size)
    np.testing.assert_array_equal(cut, image[top : top + size[0], left : left + size[1]])
    assert cut.flags.c_contiguous


@pytest.mark.parametrize(
    ("have", "wanted", "resized"),
    [
        ((10, 20), (15, 10), (15, 30)),
        ((10, 20), (5, 30), (15, 30)),
        ((10, 20), (20, 60), (30, 60)),
        ((10, 20), (11, 21), (11, 22)),
        ((9, 7), (10, 10), (13, 10)),
    ],
)
def test_a_small_image_is_resized_in_proportion_before_it_is_cut(
    have: tuple[int, int], wanted: tuple[int, int], resized: tuple[int, int]
) -> None:
    image = _numbered(*have)
    expected = np.array(Pillow.fromarray(image).resize(resized[::-1], Pillow.Resampling.BILINEAR))
    top, left = (resized[0] - wanted[0]) // 2, (resized[1] - wanted[1]) // 2
    np.testing.assert_array_equal(_cut(image, wanted), expected[top : top + wanted[0], left : left + wanted[1]])


@pytest.mark.parametrize("size", [(7, 9), (8, 10), (30, 3), (3, 40), (5, 7)])
def test_a_strip_is_the_image_and_its_mirror_images(size: tuple[int, int]) -> None:
    """The center is the image; from there, it runs forward and backward alternately."""
    image = _numbered(5, 7)
    wave = [np.r_[0:side, side - 1 : -1 : -1] for side in (5, 7)]
    starts = [
        -((want - have) // 2) if want > have else (have - want) // 2 for want, have in zip(size, (5, 7), strict=True)
    ]
    rows, columns = (
        wave[axis][np.arange(starts[axis], starts[axis] + size[axis]) % len(wave[axis])] for axis in (0, 1)
    )
    np.testing.assert_array_equal(_mirrored(image, size), image[rows][:, columns])


HEADER = msgspec.structs.replace(read_header(locate_weights(DEFAULT_WEIGHTS)), input_side=80)


@dataclass
class MadeDataset:
    """As `Dataset`, with images in memory."""

    count: int
    size: tuple[int, int] = (60, 90)
    pairs: list[Pair] = field(init=False)

    def __post_init__(self) -> None:
        self.pairs = [Pair(f"{n}", Path(f"{n}.png"), Path(f"{n}.mask.png")) for n in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        return Sample(f"{index}", _numbered(*self.size, index), np.full(self.size, index % 11, np.uint8))


def _written(folder: Path, count: int, size: tuple[int, int] = (120, 160)) -> list[str]:
    for number in range(count):
        Pillow.fromarray(_numbered(*size, number)).save(folder / f"{number:03}.png")
    return [str(folder / f"{number:03}.png") for number in range(count)]


def test_without_images_the_shipped_ones_are_compared_and_with_them_they_are_not(tmp_path: Path) -> None:
    compared = comparison_cases(HEADER, None, "val", ())
    assert [make().name for make in compared.whole] == ["street.jpg", "rendered_street.jpg"]
    assert compared.available == 0
    given = comparison_cases(HEADER, None, "val", _written(tmp_path, 3))
    assert [make().name for make in given.whole] == ["000.png", "001.png", "002.png"]


@pytest.mark.parametrize("images", [0, 1])
@pytest.mark.parametrize(("available", "used"), [(1, 1), (2, 2), (60, 60), (61, 60), (500, 60)])
def test_at_most_sixty_labeled_images_are_compared_evenly_sampled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, available: int, used: int, images: int
) -> None:
    asked: list[Any] = []

    def opened(*arguments: object) -> MadeDataset:
        asked.append(arguments)
        return MadeDataset(available)

    monkeypatch.setattr(images_module, "open_dataset", opened)
    compared = comparison_cases(HEADER, "camvid:x", "test", _written(tmp_path, images))
    assert asked == [("camvid:x", "test", HEADER.label_space)]
    assert (compared.available, len(compared.whole), len(compared)) == (available, used + images, used + images + 6)
    first, last = compared.whole[0](), compared.whole[used - 1]()
    assert (first.name, last.name) == ("0", f"{available - 1}")
    assert last.images.shape == (1, 60, 90, 3)  # labeled images keep their size
    assert last.labels is not None
    assert (last.labels == (available - 1) % 11).all()


def test_an_empty_split_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "open_dataset", lambda *arguments: MadeDataset(0))
    with pytest.raises(UsageError, match="its split 'test' holds no images; name another --split"):
        comparison_cases(HEADER, "camvid:x", "test", ())


def test_images_that_are_too_small_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(images_module, "open_dataset", lambda *arguments: MadeDataset(1, (56, 90)))
    with pytest.raises(DataError, match=r"0\.png.*the image is 90x56 pixels"):
        comparison_cases(HEADER, "camvid:x", "test", ())
    with pytest.raises(UsageError, match=r"000\.png is 56x90 pixels"):
        comparison_cases(HEADER, None, "val", _written(tmp_path, 1, (90, 56)))


def test_the_second_image_is_another_one_or_the_mirror_image(tmp_path: Path) -> None:
    first, second = _written(tmp_path, 2, (60, 70))
    single = comparison_cases(HEADER, None, "val", [first])
    np.testing.assert_array_equal(single.first, _numbered(60, 70))
    np.testing.assert_array_equal(single.second, _numbered(60, 70)[:, ::-1])
    two = comparison_cases(HEADER, None, "val", [first, second])
    np.testing.assert_array_equal(two.first, _numbered(60, 70))
    np.testing.assert_array_equal(two.second, _numbered(60, 70, 1))


@pytest.mark.parametrize(
    ("side", "size", "shape"),
    [(80, (120, 160), (60, 80, 3)), (80, (400, 100), (228, 57, 3)), (None, (60, 90), (60, 90, 3))],
)
def test_images_are_resized_as_the_weights_advise_for_comparison_and_calibration(
    tmp_path: Path, side: int | None, size: tuple[int, int], shape: tuple[int, ...]
) -> None:
    header: Header = msgspec.structs.replace(HEADER, input_side=side)
    _written(tmp_path, 1, size)
    compared = comparison_cases(header, None, "val", [str(tmp_path)])
    assert compared.whole[0]().images.shape == (1, *shape)
    assert calibration_images(str(tmp_path), header)[0].shape == (1, *shape)


@pytest.mark.parametrize(("available", "used"), [(1, 1), (3, 3), (100, 100), (101, 100), (367, 100)])
def test_at_most_a_hundred_images_are_calibrated_on_evenly_sampled(
    monkeypatch: pytest.MonkeyPatch, available: int, used: int
) -> None:
    asked: list[Any] = []

    def opened(*arguments: object) -> MadeDataset:
        asked.append(arguments)
        return MadeDataset(available)

    monkeypatch.setattr(images_module, "open_dataset", opened)
    monkeypatch.setattr(
        images_module, "read_image", lambda path: np.full((200, 300, 3), int(path.stem) % 256, np.uint8)
    )
    found = calibration_images("camvid:x", HEADER)
    assert asked == [("camvid:x", "train")]
    assert len(found) == used
    assert found[0].shape == (1, 200, 300, 3)  # images of a data set keep their size
    assert [int(found[place][0, 0, 0, 0]) for place in (0, used - 1)] == [0, (available - 1) % 256]


def test_nothing_to_calibrate_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "open_dataset", lambda *arguments: MadeDataset(0))
    with pytest.raises(UsageError, match="--calibrate camvid:x: it holds no images"):
        calibration_images("camvid:x", HEADER)

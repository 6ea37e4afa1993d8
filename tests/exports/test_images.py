"""The sizes of the images that an export is compared on."""

from __future__ import annotations

from fassd.core.catalog import DEFAULT_WEIGHTS, locate_weights
from fassd.core.checkpoint import read_header
from fassd.exports.images import comparison_cases


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

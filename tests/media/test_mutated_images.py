"""Whatever is done to a picture file, reading it gives an array or one sentence: no crash, no hang, bounded memory.

Files are read in a process of its own, which the system ends when it takes too much time or memory. What fails is
named by its number; `python -m tests.media.mutations FOLDER NUMBER` writes that picture.
"""

from __future__ import annotations

import io
import json
import resource
import signal
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.media.image_files import png_chunk
from tests.media.mutations import healthy, mutated

from fassd.core.errors import DataError, ImageError
from fassd.media.images import read_image, read_size
from fassd.media.masks import read_colors, read_values

QUICK, MANY, BATCH = 300, 20_000, 1000
SECONDS, MEMORY = 5, 3 << 30
READERS: tuple[Callable[[Path], Any], ...] = (read_size, read_image, read_values, read_colors)
DTYPES = {"read_image": ("uint8",), "read_values": ("uint8", "uint16"), "read_colors": ("uint32",)}


@dataclass(frozen=True)
class Reading:
    """What came of a file: by reader its size or its refusal, and what was wrong about that."""

    outcome: dict[str, list[int] | str]
    faults: list[str]


# -------------------------------------------------------------------------------- in the process that reads


def read_folder(folder: Path) -> None:
    """Announces each file, reads it, says what came of it; the last one announced is that of a crash."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for path in sorted(folder.iterdir()):
        print(json.dumps([path.name]), flush=True)
        with warnings.catch_warnings(record=True) as leaked:
            warnings.simplefilter("always")
            outcome: dict[str, list[int] | str] = {}
            faults = [fault for read in READERS for fault in _read(read, path, outcome)]
        faults += [f"warns: {one.message}" for one in leaked]
        sizes = [size for size in outcome.values() if isinstance(size, list)]
        faults += [f"has the sizes {sizes}"] * any(size != sizes[0] for size in sizes)
        print(json.dumps([path.name, outcome, faults]), flush=True)


def _read(read: Callable[[Path], Any], path: Path, outcome: dict[str, list[int] | str]) -> list[str]:
    name = read.__name__
    # The processor's time: a busy machine must not decide. Its signal ends the process.
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        answer = read(path)
        outcome[name] = list(answer if read is read_size else answer.shape[:2])
        fine = read is read_size or str(answer.dtype) in DTYPES[name]
        return [] if fine else [f"{name} gives {answer.dtype}"]
    except (ImageError, DataError) as error:
        outcome[name] = sentence = str(error)
        fine = sentence.startswith(f"{path}: ") and "\n" not in sentence and 20 < len(error.problem) < 400
        return [] if fine else [f"{name} says {sentence!r}"]
    except BaseException as error:
        return [f"{name} raises {error!r}"]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


# -------------------------------------------------------------------------------- in the process that tests


def _readings(folder: Path) -> dict[str, Reading]:
    """Reads the files of a folder elsewhere and removes them; those with faults stay, to be looked at."""
    found: dict[str, Reading] = {}
    kept = folder.with_name(f"{folder.name}-faults")
    kept.mkdir()
    while any(folder.iterdir()):
        command = [sys.executable, "-m", "tests.media.test_mutated_images", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        said = [json.loads(line) for line in done.stdout.splitlines()]
        assert said, done.stderr
        found |= {row[0]: Reading(row[1], row[2]) for row in said if len(row) == 3}
        if len(said[-1]) == 1:
            end = f"ended the process with {done.returncode}: {done.stderr[-300:]}"
            found[said[-1][0]] = Reading({}, [end])
        for path in [path for path in folder.iterdir() if path.name in found]:
            if found[path.name].faults:
                path.rename(kept / path.name)
            else:
                path.unlink()
    return found


def _mutated_readings(folder: Path, first: int, count: int) -> dict[str, Reading]:
    """As `_readings`, over pictures first, first + 1, ..."""
    readings: dict[str, Reading] = {}
    for start in range(first, first + count, BATCH):
        batch = folder / str(start)
        batch.mkdir()
        for number in range(start, min(start + BATCH, first + count)):
            content, suffix = mutated(number)
            (batch / f"{number:06}{suffix}").write_bytes(content)
        readings |= _readings(batch)
    return readings


def _faults(readings: dict[str, Reading]) -> dict[str, list[str]]:
    return {name: reading.faults for name, reading in readings.items() if reading.faults}


def test_a_few_mutated_images_are_read_or_refused(tmp_path: Path) -> None:
    readings = _mutated_readings(tmp_path, 0, QUICK)
    assert not _faults(readings)
    # Files that are all refused, or all read, would test nothing.
    for reader in (read_size, read_image):
        read = sum(isinstance(reading.outcome[reader.__name__], list) for reading in readings.values())
        assert QUICK / 10 < read < QUICK * 9 / 10


@pytest.mark.slow
def test_thousands_of_mutated_images_are_read_or_refused(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        halves = pool.map(lambda half: _mutated_readings(tmp_path, QUICK + half * MANY // 2, MANY // 2), range(2))
    readings = {name: reading for half in halves for name, reading in half.items()}
    assert len(readings) == MANY
    assert not _faults(readings)


@pytest.mark.parametrize("name", healthy())
def test_what_is_mutated_is_sound(tmp_path: Path, name: str) -> None:
    path = tmp_path / "healthy"
    path.write_bytes(healthy()[name])
    if name.startswith("gif"):
        with pytest.raises(ImageError, match="is a GIF file"):
            read_image(path)
    else:
        assert read_image(path).size


def test_a_number_is_always_the_same_image() -> None:
    assert [mutated(number) for number in range(20)] == [mutated(number) for number in range(20)]
    assert mutated(1) != mutated(2)


# ------------------------------------------------------------------------------------------ bombs, on purpose


def _blank_png(width: int, height: int, color: int = 2, before: bytes = b"", rows: int | None = None) -> bytes:
    row = bytes(1 + width * {2: 3, 3: 1, 6: 4}[color])
    packer = zlib.compressobj(9)
    pixels = b"".join([packer.compress(row) for _ in range(height if rows is None else rows)] + [packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header), before, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _many_scans(side: int, scans: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("L", (side, side)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content[content.rfind(b"\xff\xda") : -2][:10]
    return content[:-2] + last * scans + b"\xff\xd9"


def _film_behind_a_photo(scans: int) -> bytes:
    """A motion photo: behind the picture's end come bytes that look like scans."""
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (9, 7)).save(buffer, "JPEG")
    return buffer.getvalue() + b"\xff\xda\0\2" * scans


def _empty_runs(width: int, height: int) -> bytes:
    """A BMP of 8 bits whose rows are all left out."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 1, 0) + bytes(4)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(header)) + header + b"\1\0\0\0" * height + b"\0\1"


CLEAR_PALETTE = png_chunk(b"PLTE", bytes(6)) + png_chunk(b"tRNS", b"\1\2")
SWOLLEN = zlib.compress(bytes(1 << 28), 9)
# Name, bytes, and what `read_image` makes of it: a size, or a part of the refusal.
SPECIAL: list[tuple[str, bytes, list[int] | str]] = [
    ("65,535 wide", _blank_png(65535, 9), [9, 65535]),
    ("65,535 high", _blank_png(9, 65535), [65535, 9]),
    ("65,535 squared", _blank_png(65535, 65535, rows=1), "65535 x 65535 pixels; make it smaller"),
    ("0 wide", _blank_png(0, 9), "cannot be decoded as PNG"),
    ("0 high", _blank_png(9, 0), "cannot be decoded as PNG"),
    ("0 wide, of few letters", b"P6 0 9 255 ", "cannot be decoded as PPM"),
    ("4 million blank pixels", _blank_png(2000, 2000), [2000, 2000]),
    ("4 million clear pixels", _blank_png(2000, 2000, 6), [2000, 2000]),
    ("4 million of a clear palette", _blank_png(2000, 2000, 3, CLEAR_PALETTE), [2000, 2000]),
    ("ten thousand scans", _many_scans(1500, 10_000), "scans, more than 100"),
    ("ninety scans", _many_scans(300, 84), [300, 300]),
    ("rows of runs", _empty_runs(16_000_001, 6), "run-length encoded pixels"),
    ("a film behind a photo", _film_behind_a_photo(1000), [7, 9]),
    ("a text that swells", _blank_png(9, 7, before=png_chunk(b"zTXt", b"t\0\0" + SWOLLEN)), "cannot be decoded as PNG"),
    (
        "a profile that swells",
        _blank_png(9, 7, before=png_chunk(b"iCCP", b"p\0\0" + SWOLLEN)),
        "cannot be decoded as PNG",
    ),
]


@pytest.fixture(scope="module")
def special(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reading]:
    """What came of the special files."""
    folder = tmp_path_factory.mktemp("special")
    for name, content, _ in SPECIAL:
        assert len(content) < 1_000_000, name
        (folder / name).write_bytes(content)
    return _readings(folder)


@pytest.mark.parametrize(("name", "outcome"), [(row[0], row[2]) for row in SPECIAL], ids=[row[0] for row in SPECIAL])
def test_bombs_and_strange_sizes(special: dict[str, Reading], name: str, outcome: list[int] | str) -> None:
    assert not special[name].faults
    given = special[name].outcome["read_image"]
    assert outcome in given if isinstance(outcome, str) else outcome == given


@pytest.mark.parametrize("place", range(4))
def test_pixels_with_a_wrong_checksum_are_refused(tmp_path: Path, place: int) -> None:
    """They unpack all the same, to other labels."""
    path, content = tmp_path / "mask.png", _blank_png(40, 30, 3, CLEAR_PALETTE)
    end = content.index(b"IEND") - 8
    path.write_bytes(content[: end + place] + bytes([content[end + place] ^ 1]) + content[end + place + 1 :])
    for read in (read_image, read_values, read_colors):
        with pytest.raises(ImageError, match="a checksum of its pixel data is wrong"):
            read(path)


def test_a_clear_palette_gives_its_colors_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(_blank_png(4, 3, 3, png_chunk(b"PLTE", bytes([1, 2, 3])) + png_chunk(b"tRNS", b"\1")))
    assert np.unique(read_colors(path)).tolist() == [0x010203]


if __name__ == "__main__":
    read_folder(Path(sys.argv[1]))

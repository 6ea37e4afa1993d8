"""Every error that a user can cause, as one family.

FassdError                     one sentence: what was found, what was expected, what to do; exit code 2
├── UsageError                 an invalid option, name or argument
│   └── UnknownName            a name that is in no table; offers the nearest ones
├── FileError                  a file or folder that cannot be used as asked; names it
│   ├── ImageError             not an image, damaged, too large or too small
│   ├── CheckpointError        not a checkpoint, damaged, or made for another network
│   └── DataError              a data set whose files contradict its description
│       └── MissingSplit       a split that a data set does not have
└── MissingExtra               a package that is installed only by an extra of this project
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class FassdError(Exception):
    """A user's mistake or a damaged input, explained in one sentence."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Makes errors picklable, to leave worker processes: the constructors take other arguments than `args`."""
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[FassdError], arguments: tuple[Any, ...], facts: dict[str, Any]) -> FassdError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(facts)
    return error


class UsageError(FassdError, ValueError):
    """An invalid option, name or argument."""


class UnknownName(UsageError):
    """A name that is in no table; the message offers the nearest ones.

    Args:
        kind: what was to be named, for example "network".
        name: as given.
        known: all valid names.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = list(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        offer = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}."
        super().__init__(f"there is no {kind} named '{name}'; {offer}")


class FileError(FassdError):
    """A file or folder that cannot be used as asked.

    Args:
        path: the file; the message begins with it.
        problem: what was found and what was expected.
    """

    def __init__(self, path: str | Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = Path(path)
        self.problem = problem


class ImageError(FileError):
    """A file that is not an image, is damaged, or is too large or too small."""


class CheckpointError(FileError):
    """A file that is not a checkpoint, is damaged, or was made for another network."""


class DataError(FileError):
    """A data set whose files contradict its description."""


class MissingSplit(DataError):
    """A split that a data set does not have."""


class MissingExtra(FassdError, ImportError):
    """A missing package that an extra of this project installs.

    Args:
        package: the module that could not be imported.
        extra: the extra of this project that installs it.
        purpose: what needs it; the subject of the message.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package '{package}': install it with pip install 'fassd[{extra}]'")

"""Files that contain their own digest, so that damage is detected."""

from __future__ import annotations

import hashlib

NO_DIGEST = "0" * 64
"""Placeholder for the digest in content that has none yet."""


def with_digest(content: bytes, *others: bytes) -> bytes:
    """The content of a file with its digest in place of `NO_DIGEST`, which it must contain.

    Args:
        content: of the file that contains the digest.
        others: contents of files that belong to it.
    """
    before, empty, after = content.partition(NO_DIGEST.encode())
    assert empty, "no place for the digest"
    return before + _digest((before, after, *others)).encode() + after


def has_digest(content: bytes, stated: str, *others: bytes) -> bool:
    """Whether the digest in a file is that of its content without the 64 digits of the digest."""
    start = content.find(stated.encode())
    if start < 0 or len(stated) != len(NO_DIGEST):
        return False
    view = memoryview(content)  # large, so not copied
    return _digest((view[:start], view[start + len(stated) :], *others)) == stated


def _digest(parts: tuple[bytes | memoryview, ...]) -> str:
    """SHA-256 of one part after the other (FIPS 180-4), in hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()

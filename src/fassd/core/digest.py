"""Files that state their own digest, so that any damage to them is noticed."""

from __future__ import annotations

import hashlib

NO_DIGEST = "0" * 64
"""Stands where the digest will, in content that has none yet."""


def with_digest(content: bytes, *others: bytes) -> bytes:
    """The content of a file with its digest in place of `NO_DIGEST`, which it must hold.

    Args:
        content: of the file that states the digest.
        others: files that belong to it.
    """
    before, empty, after = content.partition(NO_DIGEST.encode())
    assert empty, "somewhere for the digest to stand"
    return before + _digest((before, after, *others)).encode() + after


def has_digest(content: bytes, stated: str, *others: bytes) -> bool:
    """Whether the digest that a file states is that of its content, its own 64 digits left out."""
    place = content.find(stated.encode())
    if place < 0 or len(stated) != len(NO_DIGEST):
        return False
    view = memoryview(content)  # large, and not to be copied
    return _digest((view[:place], view[place + len(stated) :], *others)) == stated


def _digest(parts: tuple[bytes | memoryview, ...]) -> str:
    """SHA-256 of one part after the other (FIPS 180-4), in hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()

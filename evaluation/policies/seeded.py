"""Random choices that depend on names alone: the same on every machine, in every order, at every concurrency."""

import hashlib
import random


def generator(*parts: object) -> random.Random:
    """A random generator seeded by the texts of `parts` (SHA-256; Python's own `hash` differs from run to run)."""
    text = "\x00".join(map(str, parts))
    return random.Random(int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), "big"))

"""Random numbers by name, so that adding a draw in one place moves nothing elsewhere."""

import hashlib


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one purpose, such as `derive(seed, "order", epoch)`; the same on every platform."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1

"""How often generated tests tried what, told at the end of `make test-long`."""

from __future__ import annotations

from collections import Counter

TRIES: Counter[str] = Counter()
"""Tries of the test that runs, by what was tried; `conftest` adds them up."""

"""Damaged files of every format are read well-formed or refused with a sentence, and end no process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fuzz import KINDS, REFUSED, WELL_FORMED, Mutation, Reader, mutated, seeds, write
from xssr_strategy.images.listing import EXTENSIONS

KNOWN = {".dcm": "SIGFPE", "": "SIGFPE"}
"""What GDCM does to the process at a slice whose run-length encoding has no segments; the journal is for such."""

SEEDS = seeds()
MUTATION = st.tuples(st.sampled_from(KINDS), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1))
IN_THE_HEADER = st.tuples(st.sampled_from(KINDS), st.floats(0.0, 0.15), st.integers(0, 2**32 - 1))


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    one = Reader()
    yield one
    one.close()


def test_every_format_is_a_seed() -> None:
    assert {extension for extension, _ in SEEDS} == {*EXTENSIONS, ""}


@settings(
    max_examples=250,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.sampled_from(SEEDS), mutations=st.lists(MUTATION | IN_THE_HEADER, min_size=1, max_size=4))
@pytest.mark.slow
def test_a_mutated_file_is_read_or_refused(reader: Reader, seed: tuple[str, bytes], mutations: list[Mutation]) -> None:
    extension, data = seed
    with tempfile.TemporaryDirectory() as folder:
        found = reader.read(write(Path(folder), extension, mutated(data, mutations)))
    assert found in (WELL_FORMED, REFUSED, KNOWN.get(extension)), found

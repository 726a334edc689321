"""What a header may not claim; looked at before a voxel is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

_SHARE = 8  # our choice: two images are read at once, and each needs some three times its size while it is scaled
_LENGTHS = (1e-6, 1e6)  # mm; our choice: from a thousandth of a micrometre to a kilometre
_FLAT = 1e-4  # our choice: below this volume of a voxel with edges of length 1, its edges lie in a plane
_CONTAINER = Path("/sys/fs/cgroup/memory.max")


class Refused(Exception):  # noqa: N818  # turned into an UnreadableImage by read_image
    """Raised by the readers, which do not name the file: the reason and the remedy."""


def refuse_excess(shape: Iterable[int]) -> None:
    """Refuse numbers that would take more than an eighth of the machine's (or container's) memory as float32.

    All of the memory counts, not what is free this minute, because an image that is set aside stays so.

    Raises:
        Refused: with both sizes.
    """
    needed = 4 * math.prod(int(count) for count in shape)
    allowed = _memory() // _SHARE
    if needed > allowed:
        raise Refused(
            f"would need {needed / 2**30:,.1f} GiB of memory, and {allowed / 2**30:,.1f} GiB is the most that one "
            "image may take here; crop or downsample it, or remove it from the folder"
        )


def refuse_spacing(spacing: Sequence[float]) -> None:
    """Refuse distances between voxels that are no distances.

    Raises:
        Refused: one of them is zero, negative, infinite or NaN.
    """
    if not all(0 < step < math.inf for step in spacing):
        told = " x ".join(f"{step:g}" for step in spacing)
        raise Refused(f"has a spacing of {told} mm in its header, which is not positive; export it again")


def refuse_affine(affine: NDArray[Any]) -> None:
    """Refuse a (4, 4) affine, in mm, by which voxels have no size or no volume.

    Raises:
        Refused: it holds NaN, infinite or absurd numbers, or is singular.
    """
    columns = np.asarray(affine, dtype=np.float64)[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    usable = np.isfinite(affine).all() and lengths.min() > _LENGTHS[0] and lengths.max() < _LENGTHS[1]
    if not (usable and abs(np.linalg.det(columns / lengths)) > _FLAT):
        raise Refused("has an unusable affine (orientation and spacing) in its header; export it again")


def _memory() -> int:
    total = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):  # no container, or one without a limit
        total = min(total, int(_CONTAINER.read_text()))
    return total

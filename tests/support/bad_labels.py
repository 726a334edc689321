"""Labels that must not be trained on as if they were good, one of each kind, on a volume with one label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.support.phantoms import ellipsoids, oblique, write_nifti

SHAPE = (24, 20, 18)
AFFINE = oblique((1.0, 1.0, 1.2))
LABEL = "blob"


@dataclass(frozen=True)
class BadLabel:
    """One kind.

    Attributes:
        name: of the kind.
        write: makes the file.
        submitted: part of what the server answers.
        in_folder: part of what is said of such a file in the folder before a training; empty if it is the same.
        suffix: of the file.
        kept: it is trained on, and only told.
    """

    name: str
    write: Callable[[Path], object]
    submitted: str
    in_folder: str = ""
    suffix: str = ".nii.gz"
    kept: bool = False

    @property
    def found(self) -> str:
        return self.in_folder or self.submitted


def mask() -> np.ndarray:
    """A good label."""
    return ellipsoids(SHAPE, 1, np.random.default_rng(3))[1]


def good(path: Path) -> Path:
    return write_nifti(path, mask(), AFFINE)


def _moved() -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] += 5
    return affine


def _with(value: float) -> np.ndarray:
    drawn = mask().astype(np.float32)
    drawn[0, 0, 0] = value
    return drawn


def _half(path: Path) -> None:
    data = good(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _text_ending(path: Path) -> None:
    path.write_bytes(good(path.with_suffix(".nii.gz")).read_bytes())
    path.with_suffix(".nii.gz").unlink()


def _time_series(path: Path) -> None:
    nib.save(nib.Nifti1Image(np.random.default_rng(0).integers(0, 2, (*SHAPE, 3), dtype=np.uint8), AFFINE), path)


_NO_NUMBER = "which is no label number; save the mask itself in whole numbers"
_DAMAGED = "damaged"


def _volume(drawn: np.ndarray, affine: np.ndarray = AFFINE) -> Callable[[Path], object]:
    return lambda path: write_nifti(path, drawn, affine)


BAD_LABELS = (
    BadLabel("other shape", _volume(np.ones((12, 10, 9), np.uint8)), "but its image is"),
    BadLabel("rotated", _volume(mask().swapaxes(0, 1)), "but its image is"),
    BadLabel("other place", _volume(mask(), _moved()), "lies elsewhere in space"),
    BadLabel("probabilities", _volume((mask() * 0.94 + 0.03).astype(np.float32)), _NO_NUMBER),
    BadLabel("negative", _volume(_with(-1)), f"holds the value -1, {_NO_NUMBER}"),
    BadLabel("not a number", _volume(_with(np.nan)), _DAMAGED, "NaN"),
    BadLabel("cut off", _half, _DAMAGED),
    BadLabel("empty file", lambda path: path.write_bytes(b""), _DAMAGED, "is an empty file"),
    BadLabel("text", lambda path: path.write_text("no label"), _DAMAGED),
    BadLabel("time series", _time_series, "four or more dimensions", "four or more dimensions"),
    BadLabel("wrong ending", _text_ending, _DAMAGED, "is of no format that is read", suffix=".txt"),
    BadLabel("nothing drawn", _volume(0 * mask()), "nothing is drawn on it", kept=True),
    BadLabel(
        "two numbers",
        _volume(_with(2).astype(np.uint8)),
        "holds 2 numbers (1, 2) and all of them count as blob",
        kept=True,
    ),
)

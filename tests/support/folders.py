"""Tiny labelled folders in every layout, and what is said of those that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from xssr_strategy.errors import UserError
from xssr_strategy.simulation.domains import read_domain

NAMES = ("a", "b", "c", "d", "e")
DECATHLON = {
    "name": "Tiny",
    "labels": {"0": "background", "2": "Posterior", "1": "Anterior"},
    "test": ["./imagesTs/z.nii.gz"],
}
NNUNET = {
    "channel_names": {"0": "MRI"},
    "labels": {"background": 0, "Posterior": 2, "Anterior": 1},
    "file_ending": ".nii.gz",
}


def put(*files: Path) -> None:
    """Tiny images."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".png":
            Image.fromarray(np.eye(4, dtype=np.uint8)).save(file)
        elif file.name.endswith(".nii.gz"):
            nib.save(nib.Nifti1Image(np.ones((3, 3, 3), dtype=np.uint8), np.eye(4)), file)
        else:
            file.write_bytes(b"\0")


def folders(root: Path) -> Path:
    put(*(root / kind / f"{name}.png" for name in NAMES for kind in ("images", "labels")))
    return root


def studies(root: Path) -> Path:
    put(*(folder / f"{name}.nii.gz" for name in NAMES for folder in (root, root / "labels" / "final")))
    put(root / "labels" / "original" / "a.nii.gz", root / ".xssr" / "hidden.png")
    (root / "datastore_v2.json").write_text("no JSON, and not read")
    return root


def decathlon(root: Path, **changes: Any) -> Path:
    put(*(root / kind / f"{name}.nii.gz" for name in NAMES for kind in ("imagesTr", "labelsTr")))
    put(root / "imagesTr" / "._a.nii.gz", root / "imagesTs" / "z.nii.gz")
    training = [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in reversed(NAMES)
    ]
    hidden = {"image": "./imagesTr/._a.nii.gz", "label": "./labelsTr/._a.nii.gz"}
    (root / "dataset.json").write_text(json.dumps({**DECATHLON, "training": [*training, hidden], **changes}))
    return root


def nnunet(root: Path, **changes: Any) -> Path:
    put(*(root / "imagesTr" / f"{name}_0000.nii.gz" for name in NAMES))
    put(*(root / "labelsTr" / f"{name}.nii.gz" for name in NAMES), root / "imagesTr" / "._a_0000.nii.gz")
    (root / "dataset.json").write_text(json.dumps({**NNUNET, **changes}))
    return root


FolderLayout = Callable[[Path], Path]
LAYOUTS: tuple[FolderLayout, ...] = (folders, studies, decathlon, nnunet)
LABELS: dict[FolderLayout, str] = {
    folders: "labels",
    studies: "labels/final",
    decathlon: "labelsTr",
    nnunet: "labelsTr",
}


def refused(path: Path, *words: str, labelled: bool = True) -> str:
    """The message, which begins with the option and a path and ends as a sentence."""
    with pytest.raises(UserError) as error:
        read_domain(path, "--target", labelled)
    text = str(error.value)
    assert text.startswith(f"--target {path}")
    assert "\n" not in text
    assert text.endswith(".")
    for word in words:
        assert word in text
    return text

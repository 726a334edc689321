"""The models that a server offers: propagation for volumes alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.phantoms import write_nifti, write_png
from xssr_strategy.tasks.infers import served_models
from xssr_strategy.tasks.project import Project


@pytest.mark.parametrize(("dims", "names"), [(2, ["segmentation"]), (3, ["segmentation", "propagate"])])
def test_pictures_have_no_slices_to_follow(dims: int, names: list[str], tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    for number in range(2):
        values = np.random.default_rng(number).random((20,) * dims) * 200
        if dims == 2:
            write_png(studies / f"{number}.png", values)
        else:
            write_nifti(studies / f"{number}.nii.gz", values.astype(np.float32), np.eye(4))
    models = served_models(Project(str(studies), {"labels": "liver,tumour"}))
    assert list(models) == names
    assert models["segmentation"].labels == {"liver": 1, "tumour": 2}
    assert [model.is_valid() for model in models.values()] == [False, True][: len(models)]  # nothing is trained yet

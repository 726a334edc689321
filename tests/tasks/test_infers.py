"""The models that a server offers: propagation for volumes alone."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from tests.support.phantoms import phantom_pairs, write_nifti, write_png
from tests.support.sam2 import tiny_network, write_weights
from xssr_strategy.errors import UserError
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.supervised import Supervised
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.publication import publish
from xssr_strategy.segmentation.training import train
from xssr_strategy.tasks.infers import served_models
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.startup import StartupError


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


@pytest.mark.parametrize(
    ("dims", "names"),
    [(2, ["segmentation", "segmentation_refined"]), (3, ["segmentation", "segmentation_refined", "propagate"])],
)
def test_with_weights_of_sam_2_masks_are_refined_and_slices_followed(
    dims: int, names: list[str], tmp_path: Path
) -> None:
    studies = tmp_path / "studies"
    pairs = phantom_pairs(studies, 2, dims, 1)
    conf = {"labels": "blob", "sam_weights": str(write_weights(tiny_network(), tmp_path / "weights"))}
    project = Project(str(studies), conf)
    models = served_models(project)
    assert list(models) == names
    refined = models["segmentation_refined"]
    assert not refined.is_valid()
    image = Path(pairs[0]["image"])
    with pytest.raises(UserError, match="there is no segmentation model yet"):
        refined({"image": str(image)})

    usable, _ = usable_pairs(pairs, project.preset, ("blob",))
    plan = plan_from(usable, project.preset, ("blob",))
    network = train(Supervised(6), TrainingData(project.preset, usable), plan, 0, torch.device("cpu"))
    project.workspace.models.mkdir(parents=True, exist_ok=True)
    publish(network.state_dict(), plan, project.workspace.segmentation)
    assert refined.is_valid()
    file, told = refined({"image": str(image), "result_extension": ".nii.gz"})
    coarse = models["segmentation"].mask_of(read_image(image), image)  # type: ignore[attr-defined]
    fine = np.asarray(nib.load(file).dataobj).reshape(coarse.shape)
    assert told["engine"] == "sam2"
    assert told["refined"] + told["kept"] > 0
    assert told["label_names"] == {"blob": 1}
    if told["refined"] == 0:
        np.testing.assert_array_equal(fine, coarse)
    if dims == 3:
        assert not fine.any(axis=(0, 1))[~coarse.any(axis=(0, 1))].any()  # nothing where the network found nothing
    if dims == 3:
        propagate = models["propagate"]
        assert propagate.config()["engine"] == ["sam2", "registration"]
        drawn = np.zeros(coarse.shape, np.uint8)
        drawn[4:12, 4:12, coarse.shape[-1] // 2] = 1
        label = write_nifti(tmp_path / "label.nii.gz", drawn, nib.load(image).affine)
        for asked in ({}, {"engine": "registration"}, {"engine": ["registration"]}):
            _, told = propagate({"image": str(image), "label": str(label), **asked})
            assert told["engine"] == ("registration" if asked else "sam2")
        with pytest.raises(UserError, match="engine: 'guess' is not one of sam2, registration"):
            propagate({"image": str(image), "label": str(label), "engine": "guess"})


def test_sam_2_is_asked_for_only_where_its_weights_are(tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    phantom_pairs(studies, 1, 3, 1)
    propagate = served_models(Project(str(studies), {}))["propagate"]
    label = write_nifti(tmp_path / "label.nii.gz", np.ones((4, 4, 4), np.uint8), np.eye(4))
    with pytest.raises(UserError, match="engine: 'sam2' is not one of registration; sam2 needs the server"):
        propagate({"image": str(next(studies.glob("*.nii.gz"))), "label": str(label), "engine": "sam2"})
    with pytest.raises(StartupError, match=r"config\.json is missing"):
        Project(str(studies), {"sam_weights": str(studies)})
    with pytest.raises(StartupError, match="sam_side 100: must be 0 for the side of the training, or a multiple of 32"):
        Project(str(studies), {"sam_side": "100"})

"""A trained network as a MONAI bundle: MONAI runs it, and finds what the server finds."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import verify_net_in_out
from PIL import Image

from tests.support.phantoms import ellipsoids, oblique, phantom_pairs, write_nifti
from xssr_strategy.cli import main
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.catalogue import METHODS
from xssr_strategy.segmentation.pair_cache import MemoryCache
from xssr_strategy.segmentation.plan import SegmentationPlan, plan_from
from xssr_strategy.segmentation.planned_network import build_network
from xssr_strategy.segmentation.publication import publish
from xssr_strategy.segmentation.training import train
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer

CPU = torch.device("cpu")


def trained(folder: Path, preset: Preset, labels: tuple[str, ...], steps: int) -> tuple[Path, list[dict[str, str]]]:
    pairs = phantom_pairs(folder / "made", 4, preset.spatial_dims, len(labels))
    usable, _ = usable_pairs(pairs, preset, labels)
    plan = plan_from(usable, preset, labels)
    network = train(METHODS["supervised"](steps), TrainingData(preset, usable, {}, MemoryCache(CPU)), plan, 0, CPU)
    model = folder / "segmentation.pt"
    publish(network.state_dict(), plan, model)
    return model, pairs


def run(bundle: Path, images: Path, masks: Path) -> None:
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json"]
    more = ["--bundle_root", ".", "--dataset_dir", str(images), "--output_dir", str(masks)]
    done = subprocess.run([*command, *more], cwd=bundle, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def dice(one: np.ndarray, other: np.ndarray) -> list[float]:
    return [
        2 * float(((one == label) & (other == label)).sum()) / float((one == label).sum() + (other == label).sum())
        for label in range(1, int(max(one.max(), other.max())) + 1)
    ]


@pytest.mark.slow
def test_monai_finds_in_volumes_what_the_server_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, pairs = trained(tmp_path, PRESETS["mri"], ("liver", "tumour"), 60)
    images = tmp_path / "images"
    image, _ = ellipsoids((26, 20, 18), 2, np.random.default_rng(9))
    write_nifti(images / "oblique.nii.gz", image.astype(np.float32), oblique((1.0, 1.2, 1.1)))
    write_nifti(images / "straight.nii.gz", nib.load(pairs[0]["image"]).get_fdata().astype(np.float32), np.eye(4))
    assert main(["export", "monai-bundle", "--studies", str(model), "--out", str(tmp_path / "bundle")]) == 0
    assert "python -m monai.bundle run" in capsys.readouterr().out
    run(tmp_path / "bundle", images, tmp_path / "masks")
    server = SegmentationInfer(model, PRESETS["mri"], ("liver", "tumour"))
    for name in ("oblique", "straight"):
        file, _ = server({"image": str(images / f"{name}.nii.gz"), "device": "cpu"})
        ours, theirs = nib.load(file), nib.load(tmp_path / "masks" / f"{name}_seg.nii.gz")
        np.testing.assert_allclose(theirs.affine, ours.affine, atol=1e-4)
        found = dice(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
        assert len(found) == 2
        assert min(found) > 0.95, (name, found)
        Path(file).unlink()


@pytest.mark.slow
def test_monai_finds_in_pictures_what_the_server_finds(tmp_path: Path) -> None:
    preset = replace(PRESETS["xray"], segmentation_size=64)
    model, pairs = trained(tmp_path, preset, ("lung",), 80)
    images = Path(pairs[0]["image"]).parent
    assert main(["export", "monai-bundle", "--studies", str(model), "--out", str(tmp_path / "bundle")]) == 0
    run(tmp_path / "bundle", images, tmp_path / "masks")
    server = SegmentationInfer(model, preset, ("lung",))
    for pair in pairs:
        file, _ = server({"image": pair["image"], "device": "cpu"})
        theirs = tmp_path / "masks" / f"{Path(pair['image']).stem}_seg.png"
        ours, found = np.asarray(Image.open(file)), np.asarray(Image.open(theirs))
        assert found.shape == ours.shape
        assert set(np.unique(found)) == {0, 1}
        assert min(dice(ours, found)) > 0.95
        Path(file).unlink()


@pytest.mark.parametrize("name", ["xray", "fundus", "mri", "ct"])
def test_the_network_sees_and_puts_out_what_the_metadata_says(name: str, tmp_path: Path) -> None:
    preset = PRESETS[name]
    sides = (64, 64) if preset.spatial_dims == 2 else (32, 32, 32)
    plan = SegmentationPlan(
        name, preset.spatial_dims, preset.channels, ("a", "b"), (1.0,) * 3 if len(sides) == 3 else (), sides
    )
    publish(build_network(plan).state_dict(), plan, tmp_path / "segmentation.pt")
    bundle = tmp_path / "bundle"
    assert main(["export", "monai-bundle", "--studies", str(tmp_path / "segmentation.pt"), "--out", str(bundle)]) == 0
    configs = bundle / "configs"
    verify_net_in_out("network", str(configs / "metadata.json"), str(configs / "inference.json"), n=2, device="cpu")
    told = json.loads((configs / "metadata.json").read_text())
    assert told["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "a", "2": "b"}


def test_a_network_that_no_bundle_can_name_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = SegmentationPlan("xray", 2, 1, ("a",), (), (32, 32), widths=(8, 16))
    publish(build_network(plan).state_dict(), plan, tmp_path / "segmentation.pt")
    export = ["export", "monai-bundle", "--studies", str(tmp_path / "segmentation.pt")]
    assert main([*export, "--out", str(tmp_path / "bundle")]) == 2
    assert "train with another method" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    assert main([*export, "--out", str(tmp_path / "full")]) == 2
    assert main([*export, "--out", str(tmp_path / "new"), "--labels", "a"]) == 2
    assert main(["export", "monai-bundle", "--studies", str(tmp_path / "full"), "--out", str(tmp_path / "new")]) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert "is not empty; name a new folder" in printed
    assert "--labels: is for data sets; leave it out" in printed
    assert "no network is trained there" in printed

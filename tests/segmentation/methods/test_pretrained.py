"""Networks that begin with an encoder's weights: what the encoder finds in an image, the network finds, too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.phantoms import phantom_pairs
from tests.support.scans import CPU, Scans, scans
from tests.support.trainings import MRI, XRAY, same
from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.conv_mae import ConvMAE as ConvMAEEncoder
from xssr_strategy.embedding.poly_cl import SIDE
from xssr_strategy.embedding.poly_cl import PolyCL as PolyCLEncoder
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.slices import slices_input
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.geometry import original_label
from xssr_strategy.segmentation.inference import Predictor
from xssr_strategy.segmentation.methods.catalogue import METHODS
from xssr_strategy.segmentation.methods.pretrained import descending, load_encoder
from xssr_strategy.segmentation.methods.recipe import new_network
from xssr_strategy.segmentation.plan import SegmentationPlan, parse_plan, plan_from, plan_text
from xssr_strategy.segmentation.publication import load_model, publish
from xssr_strategy.segmentation.training import train
from xssr_strategy.segmentation.transforms import read_for_network, training_transforms


def planned(name: str, pairs: list[dict[str, str]], preset, labels=("blob",)) -> SegmentationPlan:  # type: ignore[no-untyped-def]
    usable, _ = usable_pairs(pairs, preset, labels)
    return METHODS[name].planned(plan_from(usable, preset, labels), preset)


def found_by(network: torch.nn.Module, images: Tensor) -> Tensor:
    for stage in descending(network.eval()):
        images = stage(images)
    return images


@pytest.mark.parametrize("dims", [2, 3])
def test_the_u_net_finds_what_the_contrastive_encoder_finds(dims: int, tmp_path: Path) -> None:
    (pair,) = phantom_pairs(tmp_path, 1, dims, 1)
    preset = replace(PRESETS["xray"], segmentation_size=SIDE) if dims == 2 else MRI
    plan = planned("poly_cl", [pair], preset)
    encoder = build_encoder("poly_cl", preset, seed=5).eval()
    assert isinstance(encoder, PolyCLEncoder)
    network = new_network(plan, 0)
    load_encoder(network, encoder.state_dict(), plan)
    image, _ = read_for_network(pair["image"], preset, plan)
    if dims == 2:
        seen, upright = image[None], image[None].transpose(-1, -2)
    else:
        seen = torch.rand(1, 1, 33, 49)  # of sides that strides cross alike from both ends
        upright = seen.flip(-1, -2).transpose(-1, -2)
    with torch.inference_mode():
        wanted = encoder.stages(upright).transpose(-1, -2)
        torch.testing.assert_close(found_by(network, seen), wanted if dims == 2 else wanted.flip(-1, -2))


@pytest.mark.parametrize(("preset", "sides"), [(XRAY, (64, 64)), (MRI, (32, 32, 32))])
def test_the_network_around_the_autoencoder_finds_what_its_encoder_finds(preset, sides, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    plan = planned("conv_mae", phantom_pairs(tmp_path, 1, preset.spatial_dims, 1), preset)
    encoder = build_encoder("conv_mae", preset, seed=5).eval()
    assert isinstance(encoder, ConvMAEEncoder)
    network = new_network(plan, 0)
    load_encoder(network, encoder.state_dict(), plan)
    images = torch.rand(2, 1, *sides)
    with torch.inference_mode():
        vectors = found_by(network, 2 * images - 1).flatten(start_dim=2).mean(dim=2)
        torch.testing.assert_close(vectors, encoder.encode(images))


@pytest.mark.parametrize("name", ["poly_cl", "conv_mae"])
def test_the_weights_of_the_encoder_make_another_network_than_drawn_ones(name: str, tmp_path: Path) -> None:
    found = scans(tmp_path, XRAY, ("blob",))
    assert not same(found.train(name), found.train(f"{name}:scratch"))


@pytest.mark.parametrize("name", ["poly_cl", "conv_mae"])
def test_missing_weights_and_those_of_another_encoder_are_one_sentence(name: str, tmp_path: Path) -> None:
    found = scans(tmp_path, XRAY, ("blob",))
    usable, _ = usable_pairs(found.pairs, XRAY, found.labels)
    plan = planned(name, found.pairs, XRAY)
    other = build_encoder("vit_mae", XRAY).state_dict()
    for weights in (None, other):
        data = TrainingData(XRAY, usable, encoder=weights)
        with pytest.raises(UserError, match="the encoder that the training is to begin with are missing"):
            train(METHODS[name](2), data, plan, 0, CPU)


def sliced(tmp_path: Path, labels: tuple[str, ...] = ("a", "b")) -> tuple[Scans, SegmentationPlan]:
    found = scans(tmp_path, MRI, labels)
    return found, planned("poly_cl", found.pairs, MRI, labels)


def test_of_a_volume_the_network_sees_slices(tmp_path: Path) -> None:
    found, plan = sliced(tmp_path)
    assert (plan.spatial_dims, plan.network_dims, len(plan.roi)) == (3, 2, 2)
    assert parse_plan(plan_text(plan), tmp_path) == plan
    (sample,) = training_transforms(MRI, plan, seed=0)(found.pairs[0])
    assert sample["image"].shape == sample["label"].shape == (1, *plan.roi)


def test_a_network_of_slices_segments_each_slice_alone_and_onto_its_own_voxels(tmp_path: Path) -> None:
    found, plan = sliced(tmp_path)
    path = tmp_path / "model.pt"
    publish(found.train("poly_cl", count=3), plan, path)
    network, read = load_model(path)
    assert read == plan
    image, original = read_for_network(found.pairs[0]["image"], MRI, plan)
    logits = Predictor(network, plan, CPU)(image)
    assert logits.shape == (3, *image.shape[1:])
    assert original_label(logits, original.affine.numpy(), original.shape[1:]).shape == original.shape[1:]
    changed = image.clone()
    changed[..., 4] = 1 - changed[..., 4]
    again = Predictor(network, plan, CPU)(changed)
    differs = (again - logits).abs().amax(dim=(0, 1, 2)) > 1e-4
    assert differs.nonzero().flatten().tolist() == [4]


def test_a_slice_of_the_network_is_a_transverse_one_of_the_encoder(tmp_path: Path) -> None:
    """Both take the third axis of R, A and S; the encoder shows it upright."""
    found, plan = sliced(tmp_path)
    image, _ = read_for_network(found.pairs[0]["image"], MRI, plan)
    picture = slices_input(found.pairs[0]["image"], MRI, 2 * max(image.shape), 1)[0]
    middle = image[..., image.shape[-1] // 2].flip(-1, -2).transpose(-1, -2)
    seen = torch.nn.functional.interpolate(middle[None], picture.shape[-2:])[0]
    cross = {
        flips: float(((seen.flip(flips) if flips else seen) - picture).abs().mean())
        for flips in ((), (1,), (2,), (1, 2))
    }
    assert min(cross, key=cross.get) == ()  # type: ignore[arg-type]

"""Masked autoencoders: what every encoder promises, in 2-D and 3-D."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from xssr_strategy.embedding.augmentation import augment
from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.checkpoint import encoder_settings, load_encoder, save_encoder
from xssr_strategy.embedding.encoder import TrainedEncoder, TrainingBatch, TrainingSettings, trained_encoders
from xssr_strategy.embedding.masking import masked_mse, random_patch_mask, to_pixels
from xssr_strategy.embedding.training import mean_cosine, train_encoder
from xssr_strategy.embedding.vit_mae import VitMAE
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS

SMALL = {
    name: replace(PRESETS[name], encoder_size=size, encoder_patch=patch, encoder_channels=(8, 16, 32))
    for name, size, patch in (("xray", 32, 8), ("fundus", 32, 8), ("mri", 16, 8))
}


def images(encoder, preset, count=4):
    return torch.rand(count, *encoder.input_shape(preset))


@pytest.mark.parametrize("preset", SMALL.values(), ids=SMALL.keys())
@pytest.mark.parametrize("name", trained_encoders())
def test_one_code_path_for_2d_3d_and_colour(name, preset) -> None:
    encoder = build_encoder(name, preset, seed=1)
    assert isinstance(encoder, TrainedEncoder)
    batch = images(encoder, preset)
    assert encoder.encode(batch).shape == (4, encoder.dim)
    organ = torch.tensor([[0, 1]] * 4, dtype=torch.int8).repeat(1, 5)[:, : encoder.slices] if encoder.slices else None
    loss = encoder.training_loss(TrainingBatch(batch, torch.arange(4), organ), TrainingSettings())
    loss.backward()
    assert loss.ndim == 0
    assert torch.isfinite(loss)


@pytest.mark.parametrize("name", trained_encoders())
def test_seed_decides_the_weights_and_leaves_the_global_generator_alone(name) -> None:
    before = torch.get_rng_state()
    one, same, other = (build_encoder(name, SMALL["xray"], seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    batch = images(one, SMALL["xray"])
    assert torch.equal(one.encode(batch), same.encode(batch))
    assert not torch.equal(one.encode(batch), other.encode(batch))


def test_the_mask_hides_the_exact_share_and_the_loss_sees_hidden_pixels_only() -> None:
    mask = random_patch_mask(5, (4, 4), 0.75, torch.device("cpu"))
    assert mask.flatten(1).sum(1).tolist() == [12] * 5
    hidden = to_pixels(mask, 8)
    assert hidden.shape == (5, 1, 32, 32)
    assert hidden.float().mean() == 0.75
    target = torch.rand(5, 3, 32, 32)
    assert masked_mse(target + hidden * 2.0, target, hidden) == pytest.approx(4.0)
    assert masked_mse(target + ~hidden * 2.0, target, hidden) == 0.0


def test_conv_mae_cannot_see_what_is_hidden() -> None:
    encoder = build_encoder("conv_mae", SMALL["xray"])
    seen = []
    encoder.encoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    encoder.masked_loss(torch.rand(4, 1, 32, 32) * 0.4, 0.75)  # every pixel is below mid-grey
    patches = seen[0].unfold(2, 8, 8).unfold(3, 8, 8).flatten(4)
    hidden = (patches == 0).all(dim=4)
    assert hidden.flatten(1).sum(1).tolist() == [12] * 4
    assert (patches[~hidden] < 0).all()


@pytest.mark.parametrize("kind", ["xray", "mri"])
def test_cells_tell_where_and_their_mean_is_the_global_average(kind) -> None:
    preset = replace(SMALL[kind], encoder_channels=(8, 16))  # 8 x 8 or 4 x 4 x 4 features
    whole, cells = (build_encoder(name, preset, seed=1) for name in ("conv_mae", "conv_mae_cells"))
    batch = images(whole, preset)
    count = 16 if kind == "xray" else 8
    assert cells.dim == whole.dim * count
    found = cells.encode(batch).reshape(len(batch), whole.dim, count)
    torch.testing.assert_close(found.mean(dim=2), whole.encode(batch))
    turned = cells.encode(batch.flip(2)).reshape(found.shape)
    assert (turned - found).abs().mean() > 0.01 * found.abs().mean()


@pytest.mark.parametrize(("dims", "size"), [(2, 32), (3, 16)])
def test_vit_patches_stand_in_the_order_of_its_tokens(dims, size) -> None:
    encoder = VitMAE(dims, 1, size, 8)
    image = torch.zeros(1, 1, *[size] * dims)
    image[(0, 0, slice(0, 8), slice(8, 16)) + (slice(0, 8),) * (dims - 2)] = 1.0
    patches = encoder._patches(image)
    projected = encoder.network.patch_embedding.patch_embeddings(image).flatten(2).transpose(1, 2)
    empty = encoder.network.patch_embedding.patch_embeddings(image * 0).flatten(2).transpose(1, 2)
    bright = patches[0].mean(dim=1).argmax()
    assert patches[0, bright].min() == 1.0
    assert (projected - empty)[0].abs().sum(dim=1).argmax() == bright


def test_augmentation_keeps_shape_and_range_and_differs_per_image() -> None:
    torch.manual_seed(0)
    for dims in (2, 3):
        batch = torch.rand(1, 1, *[16] * dims).repeat(6, *[1] * (dims + 1))
        changed = augment(batch)
        assert changed.shape == batch.shape
        assert 0.0 <= float(changed.min()) <= float(changed.max()) <= 1.0
        assert len({float(image.sum()) for image in changed}) == 6


def stripes(count=24, size=32):
    """Images with a structure that can be learned from the visible part."""
    rng = np.random.default_rng(0)
    axis = np.arange(size)
    waves = [np.sin(axis / rng.uniform(2, 5) + rng.uniform(0, 6)) * 0.5 + 0.5 for _ in range(count)]
    return np.stack([np.tile(wave, (size, 1)) for wave in waves])[:, None].astype(np.float16)


def test_training_lowers_the_loss_below_that_of_a_constant_guess(tmp_path) -> None:
    inputs = stripes()
    encoder = build_encoder("conv_mae", SMALL["xray"])
    seen = []
    loss = train_encoder(
        encoder, inputs, TrainingSettings(steps=120), tmp_path / "state", on_step=lambda *step: seen.append(step)
    )
    assert seen[-1] == (120, 120)
    assert loss < 0.7 * float((inputs.astype(np.float32) * 2 - 1).var())


class KilledError(Exception):
    pass


def test_a_killed_training_goes_on_and_ends_as_an_uninterrupted_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("xssr_strategy.embedding.training._SAVE_EVERY", 0.0)
    inputs, settings = stripes(), TrainingSettings(steps=12)

    def kill(step, steps):
        if step == 7:
            raise KilledError

    whole = build_encoder("conv_mae", SMALL["xray"])
    train_encoder(whole, inputs, settings, tmp_path / "whole")
    with pytest.raises(KilledError):
        train_encoder(build_encoder("conv_mae", SMALL["xray"]), inputs, settings, tmp_path / "state", "", kill)
    steps = []
    resumed = build_encoder("conv_mae", SMALL["xray"])
    train_encoder(resumed, inputs, settings, tmp_path / "state", "", lambda step, _: steps.append(step))
    assert steps == [8, 9, 10, 11, 12]
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_state_of_another_training_is_not_continued(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("xssr_strategy.embedding.training._SAVE_EVERY", 0.0)
    train_encoder(build_encoder("conv_mae", SMALL["xray"]), stripes(), TrainingSettings(steps=3), tmp_path / "state")
    steps = []
    other = TrainingSettings(steps=3, seed=5)
    train_encoder(
        build_encoder("conv_mae", SMALL["xray"]), stripes(), other, tmp_path / "state", "", lambda s, _: steps.append(s)
    )
    assert steps == [1, 2, 3]


def test_a_damaged_state_starts_over(tmp_path) -> None:
    (tmp_path / "state").write_bytes(b"half a file")
    steps = []
    encoder = build_encoder("conv_mae", SMALL["xray"])
    train_encoder(encoder, stripes(), TrainingSettings(steps=2), tmp_path / "state", "", lambda s, _: steps.append(s))
    assert steps == [1, 2]


def test_checkpoint_round_trip_and_identity(tmp_path) -> None:
    preset, path = SMALL["mri"], tmp_path / "e.safetensors"
    encoder = build_encoder("conv_mae", preset, seed=3)
    save_encoder(path, "conv_mae", encoder, preset, {"steps": 1})
    first = load_encoder(path)
    assert (first.preset, first.settings) == (preset, {"steps": 1})
    batch = images(encoder, preset)
    assert torch.equal(first.encoder.encode(batch), encoder.eval().encode(batch))
    assert load_encoder(path).id == first.id
    assert encoder_settings(path) == {"steps": 1}
    save_encoder(path, "conv_mae", build_encoder("conv_mae", preset, seed=4), preset, {"steps": 1})
    assert load_encoder(path).id != first.id


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x00" * 200])
def test_a_damaged_checkpoint_is_named_with_the_remedy(tmp_path, content) -> None:
    path = tmp_path / "e.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"e\.safetensors is not an encoder checkpoint .* delete it"):
        load_encoder(path)


def test_unknown_encoder_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="'resnet' is not known: choose one of conv_mae, conv_mae_cells, dinov2, "):
        build_encoder("resnet", SMALL["xray"])


def test_mean_cosine_tells_a_collapsed_embedding() -> None:
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(50, 32)).astype(np.float32)
    assert mean_cosine(spread) < 0.1
    assert mean_cosine(np.ones((50, 32), np.float32) + 0.01 * spread) > 0.99
    pairs = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for i, a in enumerate(spread) for b in spread[i + 1 :]]
    assert mean_cosine(spread) == pytest.approx(np.mean(pairs), abs=1e-5)

"""Foundation encoders: real architectures with random weights."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.support.foundations import (
    Small,
    build,
    pictures,
    radimagenet,
    resnet50,
    script,
    timm_weights,
    vector,
    volume,
)
from xssr_strategy.embedding.checkpoint import encoder_settings, load_encoder, save_encoder
from xssr_strategy.embedding.foundation.frozen import IMAGENET_MEAN, IMAGENET_STD
from xssr_strategy.embedding.foundation.weights import read_state
from xssr_strategy.embedding.pool import embed_pool
from xssr_strategy.embedding.store import TARGET, EmbeddingStore
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS

XRAY, FUNDUS, MRI = PRESETS["xray"], PRESETS["fundus"], PRESETS["mri"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """Weights of a vision transformer that is small enough for a test."""
    return timm_weights(tmp_path_factory.mktemp("weights") / "vit.pth", "test_vit")


@pytest.mark.slow
def test_radimagenet_is_resnet50_whatever_its_tensors_are_called(tmp_path) -> None:
    numbered = build("radimagenet", radimagenet(tmp_path / "ResNet50.pt"))
    torch.save({"state_dict": {f"module.{key}": value for key, value in resnet50().items()}}, tmp_path / "plain.pth")
    plain = build("radimagenet", tmp_path / "plain.pth")
    assert numbered.dim == plain.dim == 2048
    assert numbered.id != plain.id  # files differ
    image = pictures(tmp_path)["i0"]
    seen = numbered.read(image, XRAY)
    assert seen.shape == (1, 1, 224, 224)
    first = vector(numbered, image)
    np.testing.assert_array_equal(first, vector(plain, image))

    import torchvision

    network = torchvision.models.resnet50(weights=None)
    network.load_state_dict(resnet50())
    network.fc = nn.Identity()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.inference_mode():
        expected = network.eval()(((seen[0].expand(3, -1, -1) - mean) / std)[None])[0]
    np.testing.assert_allclose(first, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_dinov2_sees_224_pixels_with_weights_made_for_518(tmp_path) -> None:
    weights = timm_weights(tmp_path / "dino.pth", "vit_small_patch14_dinov2")
    encoder = build("dinov2", weights)
    assert encoder.dim == 384
    assert encoder.read(pictures(tmp_path)["i0"], XRAY).shape == (1, 1, 224, 224)


@pytest.mark.parametrize("model", ["resnet10t", "test_vit"])
def test_timm_models_at_the_size_that_timm_has_for_them(tmp_path, model: str) -> None:
    encoder = build(f"timm:{model}", timm_weights(tmp_path / "w.pth", model))
    assert encoder.dim == {"resnet10t": 512, "test_vit": 64}[model]
    assert encoder.read(pictures(tmp_path)["i0"], XRAY).shape[-1] == {"resnet10t": 176, "test_vit": 160}[model]


def test_the_same_vectors_again_in_colour_and_of_safetensors(tmp_path, tiny) -> None:
    from safetensors.torch import save_file

    save_file(read_state(tiny), tmp_path / "vit.safetensors")
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "rgb.png")
    encoders = [build("timm:test_vit", file, FUNDUS) for file in (tiny, tiny, tmp_path / "vit.safetensors")]
    one, again, other = (vector(encoder, tmp_path / "rgb.png", FUNDUS) for encoder in encoders)
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(one, other)
    assert encoders[0].id == encoders[1].id
    Image.fromarray(pixels[..., ::-1]).save(tmp_path / "bgr.png")
    assert not np.allclose(one, vector(encoders[0], tmp_path / "bgr.png", FUNDUS))


def test_a_volume_is_its_slices_pooled(tmp_path, tiny) -> None:
    path = volume(tmp_path / "v.nii.gz")
    nine, five, largest = (
        build("timm:test_vit", tiny, MRI, slices=count, pooling=pooling)
        for count, pooling in ((9, "mean"), (5, "mean"), (9, "max"))
    )
    assert len({nine.id, five.id, largest.id}) == 3
    slices = nine.read(path, MRI)
    assert slices.shape == (9, 1, 160, 160)
    alone = np.stack([nine.encode(one[None, None])[0].numpy() for one in slices])
    np.testing.assert_allclose(vector(nine, path, MRI), alone.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(vector(largest, path, MRI), alone.max(axis=0), rtol=1e-4, atol=1e-5)
    assert not np.allclose(vector(nine, path, MRI), vector(five, path, MRI))
    assert (
        build("timm:test_vit", tiny, XRAY, slices=5).id == build("timm:test_vit", tiny, XRAY).id
    )  # pictures have none


def test_many_slices_make_smaller_batches(tiny) -> None:
    assert build("timm:test_vit", tiny, MRI).batch_size == 16
    assert build("timm:test_vit", tiny, MRI, slices=64).batch_size == 2
    assert build("timm:test_vit", tiny, XRAY, slices=64).batch_size == 16


@pytest.mark.parametrize(("channels", "preset"), [(3, XRAY), (1, XRAY), (1, FUNDUS)])
def test_a_script_of_ones_own_sees_plain_values(tmp_path, channels: int, preset) -> None:
    network = Small(channels)
    encoder = build(f"torchscript:{script(tmp_path / 'small.ts', network)}", preset=preset)
    image = pictures(tmp_path)["i0"]
    seen = encoder.read(image, preset)[0].mean(dim=0, keepdim=True).expand(channels, -1, -1)
    with torch.inference_mode():
        np.testing.assert_allclose(vector(encoder, image, preset), network(seen[None])[0].numpy(), rtol=1e-4, atol=1e-6)
    assert encoder.dim == 5


def test_a_pool_is_embedded_even_of_one_image_or_of_images_all_alike(tmp_path) -> None:
    file = script(tmp_path / "small.ts", Small(3))
    encoder = build(f"torchscript:{file}")
    save_encoder(tmp_path / "c.safetensors", f"torchscript:{file}", encoder, XRAY, {})
    checkpoint = load_encoder(tmp_path / "c.safetensors")
    store = EmbeddingStore(tmp_path / "store.sqlite")
    for name, images in (("one", pictures(tmp_path / "one", 1)), ("alike", pictures(tmp_path / "a", 18, alike=True))):
        assert embed_pool(images, name, checkpoint, store).embedded == len(images)
        vectors = store.vectors(name, checkpoint.id)[1]
        np.testing.assert_allclose(vectors, np.repeat(vectors[:1], len(images), axis=0), rtol=1e-5)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert "bad.png" in embed_pool({"bad": tmp_path / "bad.png"}, TARGET, checkpoint, store).failed["bad"]


def test_the_checkpoint_is_a_small_reference_whose_id_follows_the_weights(tmp_path, tiny) -> None:
    weights = tmp_path / "w.pth"
    weights.write_bytes(tiny.read_bytes())
    path = tmp_path / "model" / "encoder.safetensors"
    encoder = build("timm:test_vit", weights, MRI, slices=3, pooling="max")
    save_encoder(path, "timm:test_vit", encoder, MRI, {"pool": 4})
    assert path.stat().st_size < 2000
    assert encoder_settings(path) == {"pool": 4}
    loaded = load_encoder(path)
    assert (loaded.id, loaded.outdated, loaded.preset) == (encoder.id, False, MRI)
    image = volume(tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(vector(encoder, image, MRI), vector(loaded.encoder, image, MRI))

    os.utime(weights, (1, 1))  # a copy of the file is the same file
    assert not load_encoder(path).outdated
    timm_weights(weights, "test_vit", seed=1)
    changed = load_encoder(path)
    assert changed.outdated
    assert changed.id != loaded.id
    weights.unlink()
    with pytest.raises(UserError, match=r"w\.pth: cannot be read \(No such file"):
        load_encoder(path)


def test_weights_in_the_hubs_cache_are_used_without_a_network(tmp_path, monkeypatch, tiny) -> None:
    from huggingface_hub import constants

    repository = tmp_path / "models--timm--test_vit.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "pytorch_model.bin").write_bytes(tiny.read_bytes())
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert build("timm:test_vit").id == build("timm:test_vit", tiny).id


def test_another_window_of_intensities_is_another_encoder(tiny) -> None:
    other = replace(MRI, percentiles=(0.0, 100.0))
    assert build("timm:test_vit", tiny, MRI).id != build("timm:test_vit", tiny, other).id
    trained_on = replace(MRI, segmentation_roi=32, encoder_size=64)
    assert build("timm:test_vit", tiny, MRI).id == build("timm:test_vit", tiny, trained_on).id

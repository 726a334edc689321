"""Foundation encoders: real architectures with random weights, and every way in which weights can be wrong."""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.embedding.foundations import (
    Small,
    pictures,
    radimagenet,
    resnet50,
    script,
    timm_weights,
    volume,
)
from xssr_strategy.embedding.catalogue import build_encoder, encoder_names
from xssr_strategy.embedding.checkpoint import encoder_settings, load_encoder, save_encoder
from xssr_strategy.embedding.encoder import EncoderOptions, parse_encoder
from xssr_strategy.embedding.foundation.frozen import IMAGENET_MEAN, IMAGENET_STD, FrozenEncoder
from xssr_strategy.embedding.foundation.weights import read_state
from xssr_strategy.embedding.pool import embed_pool
from xssr_strategy.embedding.store import TARGET, EmbeddingStore
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS

XRAY, FUNDUS, MRI = PRESETS["xray"], PRESETS["fundus"], PRESETS["mri"]


def build(name: str, weights: Path | None = None, preset=XRAY, **options) -> FrozenEncoder:
    encoder = build_encoder(name, preset, options=EncoderOptions(weights, **options))
    assert isinstance(encoder, FrozenEncoder)
    return encoder


def vector(encoder: FrozenEncoder, path: Path, preset=XRAY) -> np.ndarray:
    with torch.inference_mode():
        return encoder.encode(encoder.read(path, preset)[None])[0].numpy()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """Weights of a vision transformer that is small enough for a test."""
    return timm_weights(tmp_path_factory.mktemp("weights") / "vit.pth", "test_vit")


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


def _weights_of(what: str, folder: Path) -> Path:
    file = folder / f"{what}.pth"
    if what == "another network":
        torch.save(nn.Linear(2, 2).state_dict(), file)
    elif what == "another shape":
        torch.save({**resnet50(), "conv1.weight": torch.zeros(64, 1, 7, 7)}, file)
    elif what == "a deeper network":
        torch.save({**resnet50(), "layer3.6.conv1.weight": torch.zeros(256, 1024, 1, 1)}, file)
    elif what == "a torn file":
        torch.save(resnet50(), file)
        file.write_bytes(file.read_bytes()[:100_000])
    elif what == "a text":
        file.write_text("version https://git-lfs", encoding="utf-8")
    elif what == "a few letters":
        file.write_bytes(b"torn")
    elif what == "an empty file":
        file.touch()
    elif what == "a whole model":
        torch.save(nn.Linear(2, 2), file)
    elif what == "a list":
        torch.save([torch.zeros(2)], file)
    elif what == "not numbers":
        torch.save({**resnet50(), "conv1.weight": torch.full((64, 3, 7, 7), torch.nan)}, file)
    return file


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (
            "another network",
            r"does not hold the weights of RadImageNet's ResNet-50 \(\d+ tensors differ, conv1.weight is m",
        ),
        (
            "another shape",
            r"\(1 tensors differ, conv1.weight is 64x1x7x7, not 64x3x7x7\); name the file of that network",
        ),
        ("a deeper network", r"\(1 tensors differ, layer3.6.conv1.weight is not part of it\)"),
        ("a torn file", "is damaged or no file of PyTorch weights"),
        ("a text", "is damaged or no file of PyTorch weights"),
        ("a few letters", "is damaged or no file of PyTorch weights"),
        ("an empty file", "is damaged or no file of PyTorch weights"),
        ("a whole model", "holds Python objects, which are not loaded because they could run programs"),
        ("a list", "holds no weights by name"),
        ("not numbers", "gives values that are not finite, so its weights are damaged"),
        ("nothing", r"cannot be read \(No such file or directory\)"),
    ],
)
def test_wrong_weights_get_one_sentence(tmp_path, what: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        build("radimagenet", _weights_of(what, tmp_path))
    assert "\n" not in str(error.value)


def test_wrong_weights_of_timm_and_of_safetensors_get_one_sentence(tmp_path) -> None:
    with pytest.raises(UserError, match=r"timm's test_vit \(cls_token is missing\); name the file of that network by"):
        build("timm:test_vit", _weights_of("another network", tmp_path))
    (tmp_path / "w.safetensors").write_bytes(b"12345678 no header")
    with pytest.raises(UserError, match=r"w\.safetensors: is damaged or no file of PyTorch weights"):
        build("timm:test_vit", tmp_path / "w.safetensors")


class _Trap:
    def __reduce__(self):
        return Path.touch, (Path(os.environ["TRAP"]),)


def test_nothing_in_a_file_of_weights_is_run(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    (tmp_path / "trap.pt").write_bytes(pickle.dumps({"conv1.weight": _Trap()}))
    torch.save({"conv1.weight": _Trap()}, tmp_path / "zipped.pt")
    for name in ("trap.pt", "zipped.pt"):
        with pytest.raises(UserError):
            build("radimagenet", tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_missing_weights_say_which_file_goes_where(tmp_path, monkeypatch) -> None:
    with pytest.raises(UserError, match=r"needs the file ResNet50\.pt of RadImageNet.*by --conf encoder_weights FILE"):
        build("radimagenet")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda *_, **__: pytest.fail("offline means offline"))
    file = (
        r"download model\.safetensors .*https://huggingface\.co/timm/vit_small_patch14_dinov2\.lvd142m and name it by"
    )
    with pytest.raises(UserError, match=rf"encoder dinov2: .*\(HF_HUB_OFFLINE is set\); {file}"):
        build("dinov2")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def unreachable(*_, **__):
        raise ConnectionError

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", unreachable)
    with pytest.raises(UserError, match=r"\(the hub cannot be reached: ConnectionError\)"):
        build("dinov2")
    with pytest.raises(UserError, match="timm has no weights of this model; name a file"):
        build("timm:vit_small_patch16_36x1_224")


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


def test_missing_libraries_say_what_to_install(monkeypatch) -> None:
    for module, name in (("timm", "dinov2"), ("torchvision.models", "radimagenet")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UserError, match=rf"encoder {name}: .*pip install 'xssr-strategy\[foundation\]'"):
            build(name)
    with pytest.raises(UserError, match="encoder timm:resnet50: timm cannot be imported"):
        parse_encoder("timm:resnet50")


def test_a_script_that_does_something_else_gets_one_sentence(tmp_path) -> None:
    for number, network in enumerate((nn.Conv2d(3, 4, 3), Small(2), nn.Linear(3, 3))):
        with pytest.raises(UserError, match=r"must map images \(B, 3, 224, 224\) or \(B, 1, 224, 224\) to vectors"):
            build(f"torchscript:{script(tmp_path / f'{number}.ts', network)}")
    (tmp_path / "bad.ts").write_bytes(b"no script")
    with pytest.raises(UserError, match=r"bad\.ts: is damaged, missing or no TorchScript file"):
        build(f"torchscript:{tmp_path / 'bad.ts'}")


def test_names_are_checked_at_the_door(tmp_path, monkeypatch) -> None:
    allowed = ", ".join(encoder_names())
    assert allowed == "conv_mae, dinov2, monai:BUNDLE, radimagenet, timm:NAME, torchscript:FILE, vit_mae"
    for wrong in ("resnet", "timm", "timm:", "dinov2:small", "dinov2:", "radimagenet:x", "", ":"):
        with pytest.raises(ValueError, match=f"^one of {allowed}$"):
            parse_encoder(wrong)
    with pytest.raises(ValueError, match=r"^timm:NAME with a model of timm \(did you mean timm:resnet10t\?\)$"):
        parse_encoder("timm:resnet10tt")
    with pytest.raises(ValueError, match=r"^timm:NAME with a model of timm"):
        parse_encoder("timm:resnet50.no_such_weights")
    with pytest.raises(ValueError, match=r"^torchscript:FILE with a file that exists$"):
        parse_encoder("torchscript:/no/such/file.ts")
    with pytest.raises(ValueError, match=r"^monai:BUNDLE with a bundle's folder or name$"):
        parse_encoder("monai:/no/such/bundle")
    (tmp_path / "net.ts").touch()
    monkeypatch.chdir(tmp_path)
    assert parse_encoder("torchscript:net.ts") == f"torchscript:{tmp_path / 'net.ts'}"
    assert parse_encoder("timm:vit_small_patch14_dinov2.lvd142m") == "timm:vit_small_patch14_dinov2.lvd142m"
    assert parse_encoder("monai:spleen_ct_segmentation") == "monai:spleen_ct_segmentation"


def test_another_window_of_intensities_is_another_encoder(tiny) -> None:
    other = replace(MRI, percentiles=(0.0, 100.0))
    assert build("timm:test_vit", tiny, MRI).id != build("timm:test_vit", tiny, other).id
    trained_on = replace(MRI, segmentation_roi=32, encoder_size=64)
    assert build("timm:test_vit", tiny, MRI).id == build("timm:test_vit", tiny, trained_on).id

"""Files of weights, scripts and bundles, made with random weights: the real architectures, no download."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import timm
import torch
import torchvision
from monai.networks import nets
from PIL import Image
from torch import Tensor, nn

from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.encoder import EncoderOptions
from xssr_strategy.embedding.foundation.frozen import FrozenEncoder
from xssr_strategy.images.preset import PRESETS

XRAY = PRESETS["xray"]


def build(name: str, weights: Path | None = None, preset=XRAY, **options) -> FrozenEncoder:
    encoder = build_encoder(name, preset, options=EncoderOptions(weights, **options))
    assert isinstance(encoder, FrozenEncoder)
    return encoder


def vector(encoder: FrozenEncoder, path: Path, preset=XRAY) -> np.ndarray:
    with torch.inference_mode():
        return encoder.encode(encoder.read(path, preset)[None])[0].numpy()


def pictures(folder: Path, count: int = 3, alike: bool = False) -> dict[str, Path]:
    """Grey pictures of 40 x 30 pixels; id -> path."""
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for index in range(count):
        values = np.random.default_rng(0 if alike else index).integers(0, 255, (30, 40), dtype=np.uint8)
        images[f"i{index}"] = folder / f"i{index}.png"
        Image.fromarray(values).save(images[f"i{index}"])
    return images


def volume(path: Path, seed: int = 0) -> Path:
    """20 x 24 x 30 voxels whose slices differ."""
    values = np.random.default_rng(seed).normal(size=(20, 24, 30)) + np.arange(30)
    nib.save(nib.Nifti1Image(values.astype(np.float32), np.diag([1.0, 1.0, 2.0, 1.0])), path)
    return path


@lru_cache(maxsize=1)
def resnet50(seed: int = 0) -> dict[str, Tensor]:
    """A state of torchvision's ResNet-50, of the names that torchvision gives."""
    torch.manual_seed(seed)
    return torchvision.models.resnet50(weights=None).state_dict()


def radimagenet(file: Path, seed: int = 0) -> Path:
    """The same as RadImageNet's authors number it."""
    children = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    state = {}
    for key, value in resnet50(seed).items():
        child, _, rest = key.partition(".")
        if child != "fc":
            state[f"backbone.{children.index(child)}.{rest}"] = value
    torch.save(state, file)
    return file


def timm_weights(file: Path, model: str, seed: int = 0) -> Path:
    """Those of a model of timm, with its classifier of a thousand classes if it has one."""
    torch.manual_seed(seed)
    torch.save(timm.create_model(model, pretrained=False).state_dict(), file)
    return file


class Small(nn.Module):
    """A few filters, averaged."""

    def __init__(self, channels: int, dim: int = 5) -> None:
        super().__init__()
        self.filters = nn.Conv2d(channels, dim, 8, stride=8)

    def forward(self, images: Tensor) -> Tensor:
        return self.filters(images).relu().mean(dim=(2, 3))


def script(file: Path, network: nn.Module) -> Path:
    torch.jit.script(network).save(file)
    return file


def bundle(folder: Path, definition: Any, more: dict[str, Any] | None = None, weights: bool = True) -> Path:
    """A MONAI bundle; ``weights`` are random ones of the network that a plain definition names."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text('{"version": "0.1.0"}', encoding="utf-8")
    config = {"network_def": definition, "network": "$@network_def.to(@device)", **(more or {})}
    (folder / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    if weights:
        torch.manual_seed(0)
        network = getattr(nets, definition["_target_"])(**{k: v for k, v in definition.items() if k[0] != "_"})
        torch.save({"model": network.state_dict()}, folder / "models" / "model.pt")
    return folder


UNET = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [2, 4, 8],
    "strides": [2, 2],
}

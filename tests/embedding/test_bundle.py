"""Encoders inside MONAI bundles."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks import nets

from tests.support.foundations import UNET, bundle, pictures, volume
from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.foundation.inside import PooledEncoder, encoder_inside
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS

XRAY, MRI = PRESETS["xray"], PRESETS["mri"]


def test_the_way_down_of_a_unet_sees_the_whole_volume(tmp_path) -> None:
    folder = bundle(tmp_path / "spleen", UNET)
    encoder = build_encoder(f"monai:{folder}", MRI)
    assert encoder.id.startswith("monai-spleen-")
    assert encoder.dim == 8
    path = volume(tmp_path / "v.nii.gz")
    seen = encoder.read(path, MRI)
    assert seen.shape == (1, 1, 96, 96, 96)
    with torch.inference_mode():
        vector = encoder.encode(seen[None])[0]
        network = nets.UNet(3, 1, 2, (2, 4, 8), (2, 2)).eval()
        network.load_state_dict(torch.load(folder / "models" / "model.pt")["model"])
        bottom = []
        network.model[1].submodule[1].submodule.register_forward_hook(lambda *features: bottom.append(features[2]))
        network(seen)
    np.testing.assert_allclose(vector, bottom[0][0].mean(dim=(1, 2, 3)), rtol=1e-4, atol=1e-6)


def test_a_2d_bundle_sees_pictures_and_slices(tmp_path) -> None:
    definition = {"_target_": "AutoEncoder", "spatial_dims": "@dims", "in_channels": 3, "out_channels": 3}
    definition |= {"channels": [4, "@net::width"], "strides": [2, 2]}
    plain = {**definition, "spatial_dims": 2, "channels": [4, 6]}
    folder = bundle(tmp_path / "b", plain)
    by_reference = bundle(tmp_path / "r", definition, {"dims": 2, "net": {"width": 6}}, weights=False)
    (by_reference / "models" / "model.pt").write_bytes((folder / "models" / "model.pt").read_bytes())
    for preset, path in ((XRAY, pictures(tmp_path)["i0"]), (MRI, volume(tmp_path / "v.nii.gz"))):
        one, other = (build_encoder(f"monai:{which}", preset) for which in (folder, by_reference))
        seen = one.read(path, preset)[None]
        assert seen.shape[1:] == (1 if preset is XRAY else 9, 1, 224, 224)
        assert one.encode(seen).shape == (1, 6)
        assert torch.equal(one.encode(seen), other.encode(seen))


def published(network: dict[str, Any]) -> dict[str, Any]:
    """What stands around ``network_def`` in a bundle for segmentation: code and references that must not be run."""
    transforms = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "ScaleIntensityd", "keys": "image"},
        {"_target_": "EnsureTyped", "keys": "image", "device": "@device"},
    ]
    return {
        "imports": ["$import os", "$os.abort()"],
        "bundle_root": "/workspace/bundle",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": transforms},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 96], "sw_batch_size": 4},
        "evaluator": {"_target_": "SupervisedEvaluator", "network": "@network", "inferer": "@inferer"},
        "initialize": ["$monai.utils.set_determinism(seed=123)"],
        "run": ["$@evaluator.run()"],
    }


@pytest.mark.parametrize(
    ("network", "dims", "dim"),
    [
        ({"_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [2, 4, 8, 16],
          "strides": [2, 2, 2], "num_res_units": 2, "norm": "batch"}, 3, 16),
        ({"_target_": "SegResNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 5, "init_filters": 8,
          "blocks_down": [1, 1, 1], "blocks_up": [1, 1], "dropout_prob": 0.2}, 3, 32),
        ({"_target_": "UNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 4, "channels": [4, 8, 16],
          "strides": [2, 2], "num_res_units": 2}, 2, 16),
        ({"_target_": "FlexibleUNet", "in_channels": 3, "out_channels": 2, "backbone": "efficientnet-b0",
          "spatial_dims": 2, "pretrained": False, "is_pad": False, "pre_conv": None}, 2, 320),
    ],
    ids=["UNet", "SegResNet", "2-D UNet", "FlexibleUNet"],
)  # fmt: skip
def test_bundles_as_the_model_zoo_publishes_them(tmp_path, network: dict[str, Any], dims: int, dim: int) -> None:
    around = published(network)
    definition = around.pop("network_def")
    folder = bundle(tmp_path / "bundle", definition, around)
    (folder / "configs" / "train.json").write_text(json.dumps({"network_def": "$raise"}), encoding="utf-8")
    preset = MRI if dims == 3 else XRAY
    encoder = build_encoder(f"monai:{folder}", preset)
    assert encoder.dim == dim
    path = volume(tmp_path / "v.nii.gz") if dims == 3 else pictures(tmp_path)["i0"]
    seen = encoder.read(path, preset)
    assert 0.0 <= float(seen.min()) < float(seen.max()) <= 1.0  # what ScaleIntensityd would give
    with torch.inference_mode():
        vector = encoder.encode(seen[None])[0]
    assert float(vector.std()) > 0.0


def test_a_bundle_is_found_by_name_where_monai_keeps_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    bundle(tmp_path / "bundle" / "spleen", UNET)
    assert build_encoder("monai:spleen", MRI).dim == 8
    with pytest.raises(
        UserError, match=r"there is no bundle in .*liver; download it with python -m monai\.bundle download"
    ):
        build_encoder("monai:liver", MRI)


@pytest.mark.parametrize(
    ("network", "dim"),
    [
        (nets.SegResNet(2, 8, 1, 2, blocks_down=(1, 1), blocks_up=(1,)), 16),
        (nets.SwinUNETR(1, 2, feature_size=12, spatial_dims=2, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)), 192),
        (nets.UNETR(1, 2, 64, 8, hidden_size=24, mlp_dim=24, num_heads=2, spatial_dims=2), 24),
        (nets.ViT(1, 64, 16, hidden_size=24, mlp_dim=24, num_layers=2, num_heads=2, spatial_dims=2), 24),
        (nets.DenseNet(2, 1, 2, init_features=8, growth_rate=4, block_config=(2, 2)), 16),
        (nets.AutoEncoder(2, 1, 1, (4, 8), (2, 2)), 8),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else None,
)
def test_the_deepest_features_of_many_networks(network, dim: int) -> None:
    inside = encoder_inside(network.eval())
    assert inside is not None
    with torch.inference_mode():
        assert PooledEncoder(inside)(torch.rand(2, 1, 64, 64)).shape == (2, dim)


def test_what_cannot_be_used_gets_one_sentence(tmp_path) -> None:
    plain = {"_target_": "BasicUNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    cases = {
        "no encoder can be found in its BasicUNet; choose a bundle with a UNet, SegResNet": bundle(
            tmp_path / "1", plain
        ),
        "takes 4 channels, not grey or RGB images": bundle(tmp_path / "2", {**UNET, "in_channels": 4}),
        "code of a bundle is not run": bundle(tmp_path / "3", {**UNET, "in_channels": "$1 + 0"}, weights=False),
        "network_def in .* is not a network of monai": bundle(tmp_path / "4", {"_target_": "os.system"}, weights=False),
        "the bundle has no .*model.pt; download it again": bundle(tmp_path / "5", UNET, weights=False),
        "cannot build its UNet": bundle(tmp_path / "6", {**UNET, "strides": [2]}, weights=False),
    }
    (tmp_path / "6" / "models" / "model.pt").touch()
    for sentence, folder in cases.items():
        with pytest.raises(UserError, match=sentence) as error:
            build_encoder(f"monai:{folder}", MRI)
        assert "\n" not in str(error.value)
    broken = bundle(tmp_path / "7", UNET)
    (broken / "configs" / "inference.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"inference\.json cannot be read"):
        build_encoder(f"monai:{broken}", MRI)
    with pytest.raises(UserError, match="is for volumes, but preset 'xray' is for 2-D images"):
        build_encoder(f"monai:{bundle(tmp_path / '8', UNET)}", XRAY)
    other = bundle(tmp_path / "9", UNET)
    torch.save(torch.nn.Linear(2, 2).state_dict(), other / "models" / "model.pt")
    with pytest.raises(UserError, match=r"model\.pt: does not hold the weights of the bundle 9"):
        build_encoder(f"monai:{other}", MRI)

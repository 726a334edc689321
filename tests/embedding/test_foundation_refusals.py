"""Every way in which a foundation encoder can be wrong: weights, files, names and libraries."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.foundations import (
    Small,
    build,
    resnet50,
    script,
)
from xssr_strategy.embedding.catalogue import encoder_names
from xssr_strategy.embedding.encoder import parse_encoder
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS

XRAY, FUNDUS, MRI = PRESETS["xray"], PRESETS["fundus"], PRESETS["mri"]


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
    assert allowed == (
        "conv_mae, conv_mae_cells, dinov2, monai:BUNDLE, poly_cl, poly_cl_mixed, poly_cl_organ, radimagenet, "
        "timm:NAME, torchscript:FILE, vit_mae"
    )
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

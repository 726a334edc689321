"""``--conf`` values that look like ways elsewhere name nothing, and write nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from xssr_strategy.embedding.encoder import EncoderOptions, build_encoder
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.settings import parse_settings

UP = "../../../../../../../../etc/passwd"


@pytest.mark.parametrize("key", ["encoder", "preset", "budget", "viewer_strategy", "combination", "encoder_pooling"])
@pytest.mark.parametrize("value", [UP, "/etc/passwd", f"timm:{UP}", f"monai:{UP}", "torchscript:/etc", "\0"])
def test_a_path_where_none_is_asked_for(key: str, value: str) -> None:
    with pytest.raises(UserError, match=f"--conf {key} "):
        parse_settings({key: value})


@pytest.mark.parametrize("folder", ["/", "../..", "/etc"])
def test_a_folder_that_is_no_bundle(folder: str, tmp_path: Path) -> None:
    settings = parse_settings({"encoder": f"monai:{folder}"})
    with pytest.raises(UserError, match="there is no bundle in"):
        build_encoder(settings.encoder, PRESETS["xray"], options=EncoderOptions())
    file = Workspace(tmp_path / "workspace").encoder(settings, PRESETS["xray"])
    assert file.parent == tmp_path / "workspace" / "model"  # wherever the name leads, the checkpoint is here


def test_names_of_labels_are_names(tmp_path: Path) -> None:
    settings = parse_settings({"labels": f"{UP},/etc/shadow"})
    assert settings.labels == (UP, "/etc/shadow")
    assert Workspace(tmp_path).segmentation.parent == tmp_path / "model"  # and in no path

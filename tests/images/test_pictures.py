"""Small pictures: upright, small, and kept by the image they show."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from xssr_strategy.errors import UserError
from xssr_strategy.images.pictures import SMALL, plane_of, small_picture
from xssr_strategy.images.preprocessing import encoder_input
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.thumbnail_store import Thumbnail, ThumbnailStore


def opened(picture: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(picture)) as image:
        assert image.format == "WEBP"
        return np.asarray(image.convert("L"), dtype=float)


def test_a_picture_is_upright(tmp_path: Path) -> None:
    pixels = np.zeros((200, 200), np.uint8)
    pixels[:50] = 255  # bright on top
    pixels[:, :20] = 128  # grey on the left
    Image.fromarray(pixels).save(tmp_path / "image.png")
    values = encoder_input(tmp_path / "image.png", PRESETS["xray"])
    shown = opened(small_picture(plane_of(values)))
    assert shown.shape == (SMALL, SMALL)
    assert shown[:12, 12:].mean() > 230
    assert shown[20:, 12:].mean() < 20
    assert 100 < shown[20:, :5].mean() < 155


def test_of_a_volume_anterior_is_on_top_and_right_on_the_left() -> None:
    values = torch.zeros(1, 48, 48, 48)  # R, A, S
    values[:, 30:, :, 24] = 0.5  # the last along the first axis lie to the patient's right
    values[:, :, 36:, 24] = 1.0
    shown = opened(small_picture(plane_of(values)))
    assert shown.shape == (48, 48)
    assert shown[:10].mean() > 230
    assert shown[20:, :14].mean() > 100
    assert shown[20:, 22:].mean() < 20


def test_colour_stays() -> None:
    values = torch.zeros(3, 64, 64)
    values[0] = 1.0
    with Image.open(io.BytesIO(small_picture(plane_of(values)))) as image:
        red, green, _ = np.asarray(image.convert("RGB")).reshape(-1, 3).mean(axis=0)
    assert red > 200 > 60 > green


def test_a_store_keeps_the_last_picture_of_each_image(tmp_path: Path) -> None:
    store = ThumbnailStore(tmp_path / "folder" / "thumbnails.sqlite")
    store.put("target", [Thumbnail("a", "1", b"old"), Thumbnail("b", "1", b"b")])
    store.put("source", [Thumbnail("a", "1", b"of the source")])
    store.put("target", [Thumbnail("a", "2", b"new")])
    assert store.picture("target", "a") == b"new"
    assert store.picture("source", "a") == b"of the source"
    assert store.picture("target", "none") is None
    assert store.fingerprints("target") == {"a": "2", "b": "1"}
    store.forget("target", ["a"])
    assert store.pictures("target") == {"b": b"b"}
    store.close()
    assert ThumbnailStore(store.path).pictures("source") == {"a": b"of the source"}


def test_another_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "thumbnails.sqlite"
    file.write_bytes(b"this is no database" * 100)
    with pytest.raises(UserError, match="as a list of thumbnails"):
        ThumbnailStore(file)

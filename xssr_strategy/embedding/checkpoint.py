"""Encoder checkpoints: safetensors with the settings that made them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.encoder import Encoder
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset

_FORMAT = 3  # 2 went with longer vectors


@dataclass(frozen=True)
class EncoderCheckpoint:
    """A trained encoder.

    Attributes:
        encoder: the network, in evaluation mode.
        id: name and digest of the file; vectors of different ids are never mixed.
        preset: the preset that it was trained for.
        settings: what the training was told and what it found.
    """

    encoder: Encoder
    id: str
    preset: Preset
    settings: dict[str, Any]


def save_encoder(path: Path, name: str, encoder: Encoder, preset: Preset, settings: dict[str, Any]) -> None:
    """Write ``path`` in one step, so that a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"format": _FORMAT, "encoder": name, "preset": asdict(preset), "settings": settings}
    partial = path.with_name(path.name + ".partial")
    state = {key: value.detach().cpu().contiguous() for key, value in encoder.state_dict().items()}
    save_file(state, partial, metadata={"xssr": json.dumps(header, sort_keys=True)})
    os.replace(partial, path)


def encoder_settings(path: Path) -> dict[str, Any]:
    """What the training of a checkpoint was told and found, without loading the network.

    Raises:
        UserError: as ``load_encoder``.
    """
    settings: dict[str, Any] = _header(path)["settings"]
    return settings


def load_encoder(path: Path) -> EncoderCheckpoint:
    """Read a checkpoint that ``save_encoder`` wrote.

    Raises:
        UserError: the file is missing, damaged or from another version.
    """
    header = _header(path)
    try:
        name, fields = header["encoder"], header["preset"]
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        preset = Preset(**values)
        encoder = build_encoder(name, preset)
        encoder.load_state_dict(load_file(path))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise _foreign(path, error) from error
    return EncoderCheckpoint(encoder.eval(), f"{name}-{digest}", preset, header["settings"])


def _header(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})["xssr"])
        if header["format"] != _FORMAT or not isinstance(header["settings"], dict):
            raise ValueError(f"format {header['format']}")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _foreign(path, error) from error
    return header


def _foreign(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} is not an encoder checkpoint of this version ({type(error).__name__}): "
        "delete it and the encoder is trained again."
    )

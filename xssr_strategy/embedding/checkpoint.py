"""Encoder checkpoints: safetensors with the settings that made them.

That of a foundation encoder holds no weights, only what the encoder is built from again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.encoder import Encoder, EncoderOptions
from xssr_strategy.embedding.foundation.frozen import FrozenEncoder
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset
from xssr_strategy.storage.atomic_files import replacing

_FORMAT = 3  # 2 went with longer vectors


@dataclass(frozen=True)
class EncoderCheckpoint:
    """A trained encoder, or a foundation encoder.

    Attributes:
        encoder: the network, in evaluation mode.
        id: name and digest of the weights; vectors of different ids are never mixed.
        preset: the preset that it was trained for.
        settings: what the training was told and what it found.
        outdated: whether a foundation encoder's weights hold something else than when the file was written; the
            encoder and its id are those of the present weights.
    """

    encoder: Encoder
    id: str
    preset: Preset
    settings: dict[str, Any]
    outdated: bool = False


def save_encoder(path: Path, name: str, encoder: Encoder, preset: Preset, settings: dict[str, Any]) -> None:
    """Write ``path`` in one step, so that a reader sees the old file or the new one.

    Its name, which the workspace makes of all settings, is written into it: a copy under the name of other settings is
    noticed.
    """
    about = {"encoder": name, "preset": asdict(preset), "settings": settings}
    header = {"format": _FORMAT, "written_as": path.name, **about}
    state = {key: value.detach().cpu().contiguous() for key, value in encoder.state_dict().items()}
    if isinstance(encoder, FrozenEncoder):
        header, state = {**header, "reference": encoder.reference()}, {}
    with replacing(path) as partial:
        save_file(state, partial, metadata={"xssr": json.dumps(header, sort_keys=True)})


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
        UserError: the file is missing, damaged, from another version or of other settings, or a foundation encoder
            cannot be built.

    >>> from dataclasses import replace
    >>> from tempfile import TemporaryDirectory
    >>> from xssr_strategy.images.preset import PRESETS
    >>> small = replace(PRESETS["xray"], encoder_size=32, encoder_patch=8, encoder_channels=(8, 16))
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "encoder.safetensors"
    ...     save_encoder(path, "conv_mae", build_encoder("conv_mae", small), small, {"steps": 0})
    ...     checkpoint = load_encoder(path)
    >>> checkpoint.encoder.dim, checkpoint.settings, checkpoint.preset == small
    (16, {'steps': 0}, True)
    >>> checkpoint.id.startswith("conv_mae-")  # a digest of the weights follows
    True
    """
    header = _header(path)
    try:
        if (reference := header.get("reference")) is not None:
            return _built_again(header, reference)
        name, preset = header["encoder"], _preset(header["preset"])
        encoder = build_encoder(name, preset)
        encoder.load_state_dict(load_file(path))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise _foreign(path, error) from error
    return EncoderCheckpoint(encoder.eval(), f"{name}-{digest}", preset, header["settings"])


def _built_again(header: dict[str, Any], reference: dict[str, Any]) -> EncoderCheckpoint:
    weights = reference["weights"]
    options = EncoderOptions(None if weights is None else Path(weights), reference["slices"], reference["pooling"])
    preset = _preset(header["preset"])
    encoder = build_encoder(header["encoder"], preset, options=options)
    assert isinstance(encoder, FrozenEncoder)
    return EncoderCheckpoint(encoder, encoder.id, preset, header["settings"], encoder.id != reference["id"])


def _preset(fields: dict[str, Any]) -> Preset:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return Preset(**values)


def _header(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})["xssr"])
        if header["format"] != _FORMAT or not isinstance(header["settings"], dict):
            raise ValueError(f"format {header['format']}")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _foreign(path, error) from error
    if header.get("written_as", path.name) != path.name:  # files from before this was written lack it
        raise UserError(
            f"{path} holds an encoder of other settings (it was written as {header['written_as']}): "
            "put the right file back, or delete it and the encoder is trained again."
        )
    return header


def _foreign(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} is not an encoder checkpoint of this version ({type(error).__name__}): "
        "delete it and the encoder is trained again."
    )

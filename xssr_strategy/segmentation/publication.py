"""Trained weights and their plan onto disk and back, never half written."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan, load_plan, plan_path, plan_text

MODEL_KEY = "model"  # MONAI Label's default key for the weights in a checkpoint


def publish(weights: Mapping[str, Tensor], plan: SegmentationPlan, path: Path) -> None:
    """Replace the published model; a server that reads at the same moment sees the old one or the new one.

    Args:
        weights: ``state_dict()`` of the network.
        plan: written beside the model.
        path: the model file.
    """
    checkpoint = io.BytesIO()
    torch.save({MODEL_KEY: {name: value.detach().cpu() for name, value in weights.items()}}, checkpoint)
    _write(plan_path(path), plan_text(plan).encode())
    _write(path, checkpoint.getbuffer())


def model_id(path: Path) -> str | None:
    """Name of what is published: the same for the same file content; None if nothing is.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        return f"segmentation-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    except FileNotFoundError:
        return None


def load_model(path: Path) -> tuple[UNet, SegmentationPlan]:
    """The published network, in evaluation mode, and its plan.

    Raises:
        UserError: missing or damaged; train again.
    """
    plan = load_plan(plan_path(path))
    network = build_unet(plan.spatial_dims, plan.channels, len(plan.labels) + 1)
    if not warm_start(network, path):
        raise UserError(f"{path}: the segmentation model does not fit its plan; train again")
    return network.eval(), plan


def warm_start(network: nn.Module, path: Path) -> bool:
    """Load published weights into a network if they fit; False, and the network untouched, if they do not.

    Nothing but tensors is unpickled.

    Args:
        path: a model file.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        weights = {str(name): value for name, value in content[MODEL_KEY].items() if isinstance(value, Tensor)}
    except Exception as error:  # whatever torch's unpickler stumbles over in a file that is damaged or another one
        raise UserError(
            f"{path.name}: the segmentation model cannot be read ({type(error).__name__}); train again"
        ) from error
    own = network.state_dict()
    if weights.keys() != own.keys() or any(weights[name].shape != own[name].shape for name in own):
        return False
    network.load_state_dict(weights)
    return True


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write statistics that another process reads meanwhile.

    NaN and infinities become 0: JSON has no word for them, and the server's /info/ would fail.
    """
    _write(path, json.dumps(_finite(dict(values)), indent=2).encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return 0.0 if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that a reader sees either the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)  # mkstemp's 0600 would hide the model from other accounts of the lab
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

"""Trained weights and their plan onto disk and back, in one file that is never half written."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.mask_quality import MaskAutoencoder
from xssr_strategy.segmentation.plan import SegmentationPlan, parse_plan, plan_text
from xssr_strategy.segmentation.planned_network import build_network
from xssr_strategy.storage.atomic_files import write_atomic
from xssr_strategy.storage.tensor_files import save_tensors

MODEL_KEY = "model"  # MONAI Label's default key for the weights in a checkpoint
_PLAN_KEY = "plan"
_AUTOENCODER_KEY = "mask_autoencoder.2"  # those under "mask_autoencoder" had layers that this one does not have


def publish(
    weights: Mapping[str, Tensor],
    plan: SegmentationPlan,
    path: Path,
    autoencoder: Mapping[str, Tensor] | None = None,
) -> None:
    """Replace the published model; a server that reads at the same moment sees the old one or the new one.

    Args:
        weights: ``state_dict()`` of the network.
        plan: written with them.
        path: the model file.
        autoencoder: ``state_dict()`` of the :class:`MaskAutoencoder` that judges the network's masks, if there is one.

    Raises:
        OSError: it cannot be written; what was published stays.
    """
    content: dict[str, Any] = {MODEL_KEY: _plain(weights), _PLAN_KEY: plan_text(plan)}
    if autoencoder is not None:
        content[_AUTOENCODER_KEY] = _plain(autoencoder)
    save_tensors(content, path)
    _plan_beside(path).unlink(missing_ok=True)  # of the model before


def model_id(path: Path) -> str | None:
    """Name of what is published: the same for the same file content; None if nothing is.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        return f"segmentation-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    except FileNotFoundError:
        return None


def published_plan(path: Path) -> SegmentationPlan:
    """The plan of the published model; the weights are not read.

    Raises:
        UserError: missing or damaged; train again.
    """
    return _plan(_content(path), path)


def brought_plan(path: Path) -> SegmentationPlan | None:
    """The plan of a network that somebody brings; None if the file holds weights without one.

    Raises:
        UserError: it cannot be read, or its plan is damaged.
    """
    text = _content(path).get(_PLAN_KEY)
    return None if text is None else parse_plan(text, path)


def load_model(path: Path) -> tuple[nn.Module, SegmentationPlan]:
    """The published network, in evaluation mode, and its plan: of one training, whatever is published meanwhile.

    Raises:
        UserError: missing or damaged; train again.
    """
    return _network(_content(path), path)


def _network(content: Mapping[str, Any], path: Path) -> tuple[nn.Module, SegmentationPlan]:
    plan = _plan(content, path)
    network = build_network(plan)
    if not _fill(network, content, path):
        raise UserError(f"{path}: the segmentation model does not fit its plan; train again")
    return network.eval(), plan


def load_judged_model(path: Path) -> tuple[nn.Module, SegmentationPlan, MaskAutoencoder | None]:
    """As :func:`load_model`, with what judges the masks of the network, in evaluation mode; None if there is none.

    Networks that were published before there was such a judge have none, and neither has one that somebody brought.

    Raises:
        UserError: missing or damaged; train again.
    """
    content = _content(path)
    return *_network(content, path), _autoencoder(content, path)


def _autoencoder(content: Mapping[str, Any], path: Path) -> MaskAutoencoder | None:
    weights = content.get(_AUTOENCODER_KEY)
    if weights is None:
        return None
    plan = _plan(content, path)
    autoencoder = MaskAutoencoder(plan.spatial_dims, len(plan.labels))
    try:
        autoencoder.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error
    return autoencoder.eval()


def warm_start(network: nn.Module, path: Path) -> bool:
    """Load published weights into a network if they fit; False, and the network untouched, if they do not.

    Nothing but tensors is unpickled.

    Args:
        path: a model file.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    return _fill(network, _content(path), path)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write statistics that another process reads meanwhile.

    NaN and infinities become 0: JSON has no word for them, and the server's /info/ would fail.
    """
    write_atomic(path, json.dumps(_finite(dict(values)), indent=2).encode())


def read_json(path: Path) -> dict[str, Any]:
    """Statistics of :func:`write_json`; empty if there are none."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return values


def _plan(content: Mapping[str, Any], path: Path) -> SegmentationPlan:
    text = content.get(_PLAN_KEY)
    if text is None:
        try:
            text = _plan_beside(path).read_text(encoding="utf-8")
        except OSError as error:
            raise _unreadable(path, error) from error
    return parse_plan(text, path)


def _plan_beside(model: Path) -> Path:
    """Where version 0.1.0 kept the plan before it went into the model file."""
    return model.with_suffix(".json")


def _fill(network: nn.Module, content: Mapping[str, Any], path: Path) -> bool:
    """As :func:`warm_start`."""
    named = content.get(MODEL_KEY)
    if not isinstance(named, Mapping):
        raise _unreadable(path, KeyError(MODEL_KEY))
    weights = {str(name): value for name, value in named.items() if isinstance(value, Tensor)}
    own = network.state_dict()
    if weights.keys() != own.keys() or any(weights[name].shape != own[name].shape for name in own):
        return False
    network.load_state_dict(weights)
    return True


def _content(path: Path) -> Mapping[str, Any]:
    """What a model file holds; tensors are read when they are used.

    PyTorch opens the file twice to map it: what another process publishes in between would give the plan of one network
    and the weights of another. It is read again until it is the same file before and after.
    """
    while True:
        before = _identity(path)
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # whatever torch's unpickler stumbles over in a file that is damaged or another one
            if _identity(path) != before:
                continue
            raise _unreadable(path, error) from error
        if _identity(path) != before:
            continue
        if not isinstance(content, Mapping):
            raise _unreadable(path, TypeError())
        return content


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Changes when the file is replaced; None without one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path.name}: the segmentation model cannot be read ({type(error).__name__}); train again")


def _plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu() for name, value in weights.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return 0.0 if isinstance(value, float) and not math.isfinite(value) else value

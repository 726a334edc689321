"""The encoder inside a MONAI bundle's network."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import monai
import torch
from torch import nn

from xssr_strategy.embedding.encoder import Encoder, EncoderOptions, Foundation, register_foundation
from xssr_strategy.embedding.foundation.frozen import FrozenEncoder, FrozenNetwork, first_line
from xssr_strategy.embedding.foundation.inside import PooledEncoder, encoder_inside
from xssr_strategy.embedding.foundation.weights import BY, digest_of, load_exactly, read_state
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset

_SIZES = {2: 224, 3: 96}  # side of what a network without a fixed image size sees; multiples of 32 (our choice)
_NETWORKS = "monai.networks.nets."


def check_bundle(text: str) -> str:
    """A folder's path in full, or a name as it is.

    Raises:
        ValueError: it is a path, and there is no such folder; what is allowed.
    """
    folder = Path(text).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if folder.name != text:
        raise ValueError("monai:BUNDLE with a bundle's folder or name")
    return text


def monai_bundle(argument: str, preset: Preset, options: EncoderOptions) -> Encoder:
    """The encoder of the network that a bundle's ``network_def`` describes, its deepest features averaged.

    Nothing of the bundle is run: ``network_def`` must name a network of ``monai.networks.nets`` with plain arguments
    or references to plain values. Volumes are seen as a whole, in a cube of 96 voxels, by a network for volumes.

    Raises:
        UserError: there is no such bundle, or no encoder in it, or its weights are missing or wrong.
    """
    name = f"monai:{argument}"
    folder = _folder(name, argument)
    kind, arguments = _definition(name, folder)
    weights = options.weights or folder / "models" / "model.pt"
    if not weights.is_file():
        raise UserError(f"encoder {name}: the bundle has no {weights}; download it again, or name a file {BY}.")
    try:
        network = kind(**arguments)
    except Exception as error:  # networks refuse arguments in many ways
        raise UserError(
            f"encoder {name}: MONAI {monai.__version__} cannot build its {kind.__name__} ({first_line(error)}); "
            "take a version of the bundle that fits."
        ) from error
    load_exactly(network, read_state(weights), weights, f"the bundle {folder.name}")
    inside = encoder_inside(network)
    if inside is None:
        raise UserError(
            f"encoder {name}: no encoder can be found in its {kind.__name__}; choose a bundle with a UNet, SegResNet, "
            "SwinUNETR, UNETR, FlexibleUNet, AutoEncoder or DenseNet."
        )
    bound = inspect.signature(kind).bind(**arguments)
    bound.apply_defaults()
    dims, channels = bound.arguments.get("spatial_dims", 3), bound.arguments.get("in_channels")
    if dims not in (2, 3) or channels not in (1, 3):
        told = "an unknown number of" if channels is None else channels
        raise UserError(f"encoder {name}: takes {told} channels, not grey or RGB images; choose another bundle.")
    side = bound.arguments.get("img_size", _SIZES[dims])
    sides = {side} if isinstance(side, int) else set(side)
    if len(sides) > 1:
        raise UserError(f"encoder {name}: sees an image of {tuple(side)}, which is no square or cube; choose another.")
    identity = f"monai:{kind.__name__}:{sorted(arguments.items(), key=str)}:{digest_of(weights)}"
    plain = ((0.0,) * channels, (1.0,) * channels)
    frozen = FrozenNetwork(PooledEncoder(inside), identity, dims, channels, sides.pop(), *plain)
    return FrozenEncoder(name, frozen, preset, options)


def _folder(name: str, argument: str) -> Path:
    folder = Path(argument)
    if not folder.is_absolute():
        folder = Path(torch.hub.get_dir()) / "bundle" / argument  # where MONAI downloads bundles
    if not (folder / "configs").is_dir():
        raise UserError(
            f"encoder {name}: there is no bundle in {folder}; download it with python -m monai.bundle download --name "
            f"{folder.name}, or name its folder."
        )
    return folder


def _definition(name: str, folder: Path) -> tuple[type[nn.Module], dict[str, Any]]:
    """The class and the arguments of the network of the first configuration that describes one."""
    for config in _configurations(name, folder):
        if "network_def" not in config:
            continue
        definition = _resolved(config["network_def"], config)
        target = definition.get("_target_") if isinstance(definition, Mapping) else None
        if target is None or _has_expression(definition):
            break
        kind = getattr(monai.networks.nets, str(target).removeprefix(_NETWORKS), None)
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            break
        arguments = {key: value for key, value in definition.items() if not key.startswith("_")}
        if "pretrained" in arguments:
            arguments["pretrained"] = False  # would fetch weights that the bundle's replace
        return kind, arguments
    else:
        raise UserError(f"encoder {name}: no configuration in {folder / 'configs'} has a network_def; choose another.")
    raise UserError(
        f"encoder {name}: network_def in {folder / 'configs'} is not a network of monai.networks.nets with plain "
        "arguments, and code of a bundle is not run; write it out plainly, or choose another bundle."
    )


def _configurations(name: str, folder: Path) -> Iterator[Mapping[str, Any]]:
    from monai.bundle import ConfigParser

    files = sorted(path for path in (folder / "configs").iterdir() if path.suffix in (".json", ".yaml", ".yml"))
    for file in sorted(files, key=lambda path: (path.stem != "inference", path.stem != "train")):
        try:
            config = ConfigParser.load_config_file(file)
        except Exception as error:  # of json, yaml or the system
            raise UserError(
                f"encoder {name}: {file} cannot be read ({first_line(error)}); download the bundle again."
            ) from error
        if isinstance(config, Mapping):
            yield config


def _resolved(value: Any, config: Mapping[str, Any], depth: int = 0) -> Any:
    """``value`` with references such as ``@channels`` or ``@net::channels`` replaced by what they name."""
    if isinstance(value, Mapping):
        return {key: _resolved(item, config, depth) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, config, depth) for item in value]
    if not (isinstance(value, str) and value.startswith("@")) or depth > 20:  # as a circle would be
        return value
    found: Any = config
    for word in value[1:].replace("#", "::").split("::"):
        if isinstance(found, Mapping) and word in found:
            found = found[word]
        elif isinstance(found, list) and word.isdigit() and int(word) < len(found):
            found = found[int(word)]
        else:
            return value
    return _resolved(found, config, depth + 1)


def _has_expression(value: Any) -> bool:
    """Whether there is code in it, or a reference that names nothing."""
    if isinstance(value, Mapping):
        return any(_has_expression(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_expression(item) for item in value)
    return isinstance(value, str) and value.startswith(("$", "@", "%"))


register_foundation(Foundation("monai:BUNDLE", monai_bundle, check_bundle))

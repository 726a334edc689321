"""SAM 2 of Hugging Face transformers, from a folder of weights on this machine; nothing is fetched.

SAM 2 (Ravi et al. 2024, arXiv 2408.00714) segments what a box or a mask points at, and follows it through pictures.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from scipy import ndimage
from torch import nn

from xssr_strategy.errors import UserError, memory_error

INSTALL = "pip install 'xssr-strategy[sam]'"
FETCH = "xssr fetch-weights sam2.1-tiny"
CHANNELS_LAST = {"input_data_format": "channels_last"}  # which the processors would guess
STRIDE = 16  # of SAM 2's coarsest features: sides of what it sees are multiples of it

_LARGEST = 2048
_LEAST = (5, 18)  # of transformers
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")
_KINDS = ("sam2_video", "sam2")
_LOADING = threading.Lock()


def check_weights(folder: Path) -> int:
    """The side in pixels of what these weights of SAM 2 were trained on.

    Looks at the files without loading the network.

    Raises:
        UserError: they are missing, cut or of another network.
    """
    remedy = f"fetch SAM 2 by {FETCH}, or name the folder that holds its config.json and model.safetensors"
    missing = [name for name in (_CONFIG, _WEIGHTS) if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _PROCESSORS):
        missing.append(_PROCESSORS[0])
    if missing:
        raise UserError(f"{folder}: {missing[0]} is missing; {remedy}.")
    try:
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        kind = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / _CONFIG}: cannot be read ({type(error).__name__}); {remedy}.") from error
    if kind not in _KINDS:
        raise UserError(f"{folder}: holds the weights of {kind}, not of SAM 2; {remedy}.")
    try:
        with safe_open(folder / _WEIGHTS, framework="pt") as file:
            count = len(list(file.keys()))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder / _WEIGHTS}: is cut or damaged ({type(error).__name__}); {remedy}.") from error
    if not count:
        raise UserError(f"{folder / _WEIGHTS}: is empty; {remedy}.")
    return int(config.get("image_size") or config.get("prompt_encoder_config", {}).get("image_size") or 1024)


def check_usable(folder: Path) -> None:
    """See that SAM 2 can be made of a folder, without loading it.

    Raises:
        UserError: the weights are missing, cut or of another network, or transformers is not installed.
    """
    check_weights(folder)
    if reason := missing_library():
        raise UserError(f"{reason}.")


def parse_weights(text: str) -> Path:
    """The folder of weights that a text names.

    Raises:
        ValueError: it is no folder; what is allowed.
        UserError: as :func:`check_usable`.
    """
    folder = Path(text).expanduser()
    if not text or not folder.is_dir():
        raise ValueError("a folder that exists")
    check_usable(folder)
    return folder.resolve()


def parse_side(text: str) -> int:
    """The side in pixels of what SAM 2 sees.

    Raises:
        ValueError: what is allowed.
    """
    if text.isascii() and text.isdigit() and int(text) % (2 * STRIDE) == 0 and int(text) <= _LARGEST:
        return int(text)
    raise ValueError(f"0 for the side of the training, or a multiple of {2 * STRIDE} up to {_LARGEST}")


def missing_library() -> str:
    """Which package SAM 2 needs that is not here, and what to do; empty if all are."""
    for package in ("transformers", "torchvision"):
        if importlib.util.find_spec(package) is None:
            return f"SAM 2 needs the package {package}; {INSTALL}"
    version = importlib.metadata.version("transformers")
    if tuple(int(part) for part in version.split(".")[:2]) < _LEAST:
        return f"SAM 2 needs transformers {_LEAST[0]}.{_LEAST[1]} or later, not {version}; {INSTALL}"
    return ""


@dataclass(frozen=True)
class Sam2:
    """A network with what prepares pictures for it.

    Attributes:
        network: in evaluation mode, on its device.
        processor: of pictures and masks.
        device: where the network is.
    """

    network: Any
    processor: Any
    device: torch.device


def load_boxes(folder: Path, device: torch.device | None = None, side: int = 0) -> Sam2:
    """The network that segments what is in a box.

    Args:
        folder: of the weights.
        device: where to; by default on a GPU if there is one.
        side: in pixels, of the square to which pictures are resized, a multiple of 32; 0 for that of the training. Half
            of it takes a third of the time.

    Raises:
        UserError: as :func:`check_weights`, or transformers is not installed.
    """
    with _transformers(folder) as transformers:
        network = _network(transformers.Sam2Model, folder, side)
        processor = _sized(transformers.Sam2Processor.from_pretrained(folder, local_files_only=True), side)
    return _on_device(network, processor, device)


def load_tracker(folder: Path, device: torch.device | None = None, side: int = 0) -> Sam2:
    """The network that follows masks through pictures; arguments and errors as :func:`load_boxes`."""
    with _transformers(folder) as transformers:
        network = _network(transformers.Sam2VideoModel, folder, side)
        processor = _sized(transformers.Sam2VideoProcessor.from_pretrained(folder, local_files_only=True), side)
    return _on_device(network, processor, device)


def _on_device(network: nn.Module, processor: Any, device: torch.device | None) -> Sam2:
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Sam2(network.to(device).eval(), processor, device)


def as_picture(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """What the processors take, (Y, X, 3) bytes; floats they would divide by 255 once more.

    Args:
        values: (X, Y), or (3, X, Y), in [0, 1]; the first axis of images is the horizontal one.

    >>> as_picture(np.array([[0.0], [1.0]], np.float32)).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    planes = values if values.ndim == 3 else np.broadcast_to(values, (3, *values.shape))
    return np.ascontiguousarray(np.round(255 * np.clip(planes, 0, 1)).astype(np.uint8).transpose(2, 1, 0))


def contrast_around(
    picture: NDArray[np.float32], region: NDArray[np.bool_]
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What spreads the grey values around a region over [0, 1], where bytes would leave few levels of them.

    From the 1st to the 99th percentile of the region's rectangle, half of its sides wider on each side. The two are our
    choice.

    Args:
        picture: (X, Y) or (3, X, Y).
        region: (X, Y).
    """
    found = ndimage.find_objects(region.astype(np.uint8))
    if not found:
        return lambda values: values
    sides = []
    for part, side in zip(found[0], region.shape, strict=True):
        more = (part.stop - part.start + 1) // 2
        sides.append(slice(max(0, part.start - more), min(side, part.stop + more)))
    low, high = np.percentile(picture[..., sides[0], sides[1]], (1, 99))
    if high <= low:
        return lambda values: values
    return lambda values: np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


@contextmanager
def _transformers(folder: Path) -> Iterator[Any]:
    """The library, which says nothing meanwhile; what it raises is a sentence; one thread at a time."""
    check_usable(folder)
    import transformers

    with _LOADING:
        yield from _quiet(transformers, folder)


def _quiet(transformers: Any, folder: Path) -> Iterator[Any]:
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield transformers
    except UserError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError) as error:
        if memory_error(error):
            raise
        raise UserError(
            f"{folder}: SAM 2 cannot be made of it ({type(error).__name__}); fetch it again by {FETCH}."
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _network(kind: Any, folder: Path, side: int) -> Any:
    """The network, all of whose weights are in the folder.

    Raises:
        ValueError: one is not, where transformers would draw it at random.
    """
    config = kind.config_class.from_pretrained(folder, local_files_only=True)
    if side:
        _resize(config, side)
    network, told = kind.from_pretrained(folder, config=config, local_files_only=True, output_loading_info=True)
    if told["missing_keys"] or told["mismatched_keys"]:
        raise ValueError("weights are missing")
    return network


def _resize(config: Any, side: int) -> None:
    """Another side of the square that the network sees; its weights fit any."""
    if side < 0 or side % (2 * STRIDE):
        raise UserError(f"SAM 2 sees squares whose side is a multiple of {2 * STRIDE}, not {side}; choose such a side.")
    vision = config.vision_config
    vision.backbone_config.image_size = [side, side]
    vision.backbone_feature_sizes = [[side // step] * 2 for step in (4, 8, STRIDE)]
    config.prompt_encoder_config.image_size = side
    if hasattr(config, "memory_attention_rope_feat_sizes"):
        config.image_size = side
        config.memory_attention_rope_feat_sizes = [side // STRIDE] * 2


def _sized(processor: Any, side: int) -> Any:
    """The processor for squares of another side."""
    if side:
        square, masks = {"height": side, "width": side}, {"height": side // 4, "width": side // 4}
        processor.image_processor.size, processor.image_processor.mask_size = square, masks
        if hasattr(processor, "video_processor"):
            processor.video_processor.size = square
        processor.target_size = side
    return processor

"""Files of weights: read without running anything that is in them, and known by what they hold."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from xssr_strategy.errors import UserError

BY = "by --conf encoder_weights FILE (on the command line --encoder-weights FILE)"

_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net")  # under which trainers put a state
_PREFIXES = ("module.", "_orig_mod.")  # of models that were parallel or compiled


def digest_of(file: Path) -> str:
    """sha256 of a file's content, in hexadecimal.

    Raises:
        UserError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise _unreadable(file, error) from error
    return digest.hexdigest()


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, or of one that ``torch.save`` wrote, by name.

    A state inside a dictionary (``state_dict``, ``model``, ...) is taken out, and prefixes of parallel training are
    dropped. Nothing but tensors and plain containers is unpickled.

    Raises:
        UserError: it cannot be read, is damaged, holds other objects, or holds no tensors.
    """
    try:
        if file.suffix == ".safetensors":
            content: Any = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower():
            raise UserError(
                f"{file}: holds Python objects, which are not loaded because they could run programs; save the "
                f"weights alone, torch.save(model.state_dict(), FILE), and name that file {BY}."
            ) from error
        raise _damaged(file) from error
    except OSError as error:
        raise _unreadable(file, error) from error
    except Exception as error:  # whatever torch's unpickler stumbles over in a damaged file
        raise _damaged(file) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    state = _tensors(content)
    if not state:
        raise UserError(
            f"{file}: holds no weights by name; save torch.save(model.state_dict(), FILE) and name it {BY}."
        )
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def load_exactly(module: nn.Module, state: Mapping[str, Tensor], file: Path, what: str) -> None:
    """Put ``state`` into ``module``; every tensor must be there, with its shape, and none besides.

    Args:
        module: may have been made on the device ``meta``, which spares drawing weights that nobody uses.
        file: that the state was read from, for the message.
        what: the network, for the message.

    Raises:
        UserError: a tensor is missing, of another shape, or strange.
    """
    expected = module.state_dict()
    # Batch counters steer training alone, and old files lack them.
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    shapes = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    strange = [key for key in state if key not in expected]
    if missing or shapes or strange:
        if missing:
            detail = f"{missing[0]} is missing"
        elif shapes:
            detail = f"{shapes[0]} is {_shape(state[shapes[0]])}, not {_shape(expected[shapes[0]])}"
        else:
            detail = f"{strange[0]} is not part of it"
        raise wrong_weights(file, what, f"{len(missing + shapes + strange)} tensors differ, {detail}")
    counters = {key: torch.zeros_like(value, device="cpu") for key, value in expected.items() if key not in state}
    values = {key: value.to(expected[key].dtype) for key, value in state.items()}
    module.load_state_dict({**counters, **values}, assign=True)


def wrong_weights(file: Path, what: str, detail: str) -> UserError:
    """The sentence for weights of another network."""
    return UserError(f"{file}: does not hold the weights of {what} ({detail}); name the file of that network {BY}.")


def _tensors(content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _damaged(file: Path) -> UserError:
    return UserError(
        f"{file}: is damaged or no file of PyTorch weights (.pt, .pth, .bin or .safetensors); fetch it again, or name "
        f"another {BY}."
    )


def _unreadable(file: Path, error: OSError) -> UserError:
    return UserError(f"{file}: cannot be read ({error.strerror or type(error).__name__}); name a file of weights {BY}.")

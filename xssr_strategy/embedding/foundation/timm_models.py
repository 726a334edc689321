"""Models of timm (pytorch-image-models, Wightman 2019), DINOv2 among them."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from xssr_strategy.embedding.encoder import Encoder, EncoderOptions, Foundation, register_foundation
from xssr_strategy.embedding.foundation.frozen import FrozenEncoder, FrozenNetwork, first_line
from xssr_strategy.embedding.foundation.hub import hub_file
from xssr_strategy.embedding.foundation.weights import BY, digest_of, read_state, wrong_weights
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset

_DINOV2 = "vit_small_patch14_dinov2.lvd142m"
"""The smallest DINOv2 (Oquab et al. 2023, arXiv 2304.07193): 384 numbers, 22 million weights (our choice)."""
_DINOV2_SIZE = 224  # 16 x 16 patches; it was trained to 518, at five times the work (our choice)

_MISFITS = (RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError, AssertionError)


def check_name(model: str) -> str:
    """The name of a model, if timm has it.

    Raises:
        ValueError: it has not; what is allowed.
        UserError: timm is not installed.
    """
    timm = _timm(f"timm:{model}")
    if timm.is_model(model) and ("." not in model or timm.models.is_model_pretrained(model)):
        return model
    names = [*timm.list_models(), *timm.list_models(pretrained=True)]
    close = difflib.get_close_matches(model, names, n=1)
    raise ValueError("timm:NAME with a model of timm" + (f" (did you mean timm:{close[0]}?)" if close else ""))


def dinov2(argument: str, preset: Preset, options: EncoderOptions) -> Encoder:
    """DINOv2's small vision transformer: the class token after the last block.

    Raises:
        UserError: timm or the weights are missing, or the weights are others.
    """
    return _encoder("dinov2", _DINOV2, preset, options, img_size=_DINOV2_SIZE)


def timm_model(model: str, preset: Preset, options: EncoderOptions) -> Encoder:
    """Any model, without its classifier, at the image size, mean and deviation that timm has for it.

    Raises:
        UserError: timm, the model or the weights are missing, or the weights are others.
    """
    name = f"timm:{model}"
    try:
        return _encoder(name, check_name(model), preset, options)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"encoder {name}: must be {error}.") from None


def _encoder(name: str, model: str, preset: Preset, options: EncoderOptions, **more: Any) -> Encoder:
    timm = _timm(name)
    try:
        config = timm.get_pretrained_cfg(model)
    except RuntimeError:  # a model without any weights of its own
        config = None
    file = options.weights or _own_weights(name, config)
    network = _loaded(timm, model, config, file, more)
    data = timm.data.resolve_model_data_config(network)
    network.pretrained_cfg = {**network.pretrained_cfg, "state_dict": None}  # not kept twice
    channels, height, width = data["input_size"]
    size = more.get("img_size", height)
    if channels not in (1, 3) or height != width:
        raise UserError(f"encoder {name}: sees {channels}x{height}x{width} pixels, not a square; choose another.")
    frozen = FrozenNetwork(
        network, f"timm:{model}:{digest_of(file)}", 2, channels, size, tuple(data["mean"]), tuple(data["std"])
    )
    return FrozenEncoder(name, frozen, preset, options)


def _loaded(timm: Any, model: str, config: Any, file: Path, more: dict[str, Any]) -> Any:
    """The model with the weights of a file, and without the classifier that is in it.

    timm brings positions to the image size, and old names to the present ones, while it loads. It would load in part
    what has another number of classes; with none on both sides it is strict.
    """
    state = read_state(file)
    classifier = getattr(config, "classifier", None) or ()
    heads = [classifier] if isinstance(classifier, str) else list(classifier)
    problem: Exception | None = None
    for left_out in (heads, [head.partition(".")[0] for head in heads]):  # of some models the whole head goes
        prefixes = tuple(f"{head}." for head in left_out)
        body = {key: value for key, value in state.items() if not key.startswith(prefixes)}
        overlay = {"state_dict": body, "file": None, "num_classes": 0}
        try:
            return timm.create_model(model, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **more)
        except _MISFITS as error:
            problem = problem or error
    assert problem is not None
    raise wrong_weights(file, f"timm's {model}", _detail(problem)) from problem


def _own_weights(name: str, config: Any) -> Path:
    if config is None or not config.hf_hub_id:
        raise UserError(f"encoder {name}: timm has no weights of this model; name a file of them {BY}.")
    if config.hf_hub_filename:
        return hub_file(config.hf_hub_id, (config.hf_hub_filename,), encoder=name)
    return hub_file(config.hf_hub_id, encoder=name)


def _detail(error: Exception) -> str:
    """The first difference that ``load_state_dict`` found; its message is a list of them."""
    for kind, words in (("Missing", "is missing"), ("Unexpected", "is not part of it")):
        if found := re.search(rf'{kind} key\(s\) in state_dict: "([^"]+)"', str(error)):
            return f"{found[1]} {words}"
    if found := re.search(r"size mismatch for (\S+):", str(error)):
        return f"{found[1]} has another shape"
    return first_line(error)


def _timm(name: str) -> Any:
    try:
        import timm
        import timm.data
        import timm.models
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch raises the second
        raise UserError(
            f"encoder {name}: timm cannot be imported ({first_line(error)}); install it with "
            "pip install 'xssr-strategy[foundation]'."
        ) from error
    return timm


register_foundation(Foundation("dinov2", dinov2))
register_foundation(Foundation("timm:NAME", timm_model, check_name))

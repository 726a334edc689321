"""Weights that timm keeps on the Hugging Face hub: from its cache on this machine, else fetched, else a sentence."""

from __future__ import annotations

from pathlib import Path

from xssr_strategy.embedding.foundation.weights import BY
from xssr_strategy.errors import UserError

_FILES = ("model.safetensors", "pytorch_model.bin")
_TIMEOUT = 5.0  # seconds until the hub counts as out of reach (our choice); its own client would try for half a minute


def hub_file(repository: str, files: tuple[str, ...] = _FILES, encoder: str = "") -> Path:
    """The first of ``files`` that the repository has, from the cache if it is there.

    ``HF_HOME``, ``HF_HUB_CACHE`` and ``HF_HUB_OFFLINE`` mean what they mean to the hub's own client.

    Args:
        repository: such as ``timm/resnet50.a1_in1k``.
        encoder: its name, for the message.

    Raises:
        UserError: it is not in the cache and cannot be fetched; which file to put where.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    for name in files:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    reason = "HF_HUB_OFFLINE is set"
    if not constants.HF_HUB_OFFLINE:
        try:
            for name in files:
                try:
                    get_hf_file_metadata(hf_hub_url(repository, name), timeout=_TIMEOUT)  # one question, no retries
                except EntryNotFoundError:
                    continue
                return Path(hf_hub_download(repository, name, etag_timeout=_TIMEOUT))
            reason = "the hub has none of these files"
        except Exception as error:  # the client's errors have another base class in each of its versions
            reason = f"the hub cannot be reached: {type(error).__name__}"
    raise UserError(
        f"encoder {encoder}: its weights are not on this machine ({reason}); download {' or '.join(files)} from "
        f"https://huggingface.co/{repository} and name it {BY}."
    )

"""The bodies of requests: next samples, inferences, background tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from fastapi import HTTPException
from monailabel.utils.others.generic import device_map
from pydantic import BeforeValidator, Field, StrictInt

from xssr_strategy.datastores.bodies import Body, Text, falsy_to_none, parse_body
from xssr_strategy.datastores.metadata import SEGMENTS, Segments

_LONGEST = 1000  # characters of a name or a reason (our choice)
_GPUS = re.compile(r"(all)?|\d+(,\d+)*")
_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
_SWITCHES = (True, False, "true", "false", "True", "False")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

ShortText = Annotated[
    Annotated[str, Field(max_length=_LONGEST)] | None,
    BeforeValidator(falsy_to_none),
    Field(description=f"text of at most {_LONGEST} characters"),
]
"""A name or a reason."""


def _one_of(*allowed: Any) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value is not None and (isinstance(value, dict | list) or value not in allowed):
            names = ", ".join(dict.fromkeys(str(one).lower() for one in allowed))
            raise ValueError(f"must be one of {names}")
        return value

    return BeforeValidator(check)


def _choice(value: Any) -> Any:
    """A choice as viewers send it back: what was chosen, or the menu."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return value[0]
    raise ValueError("must be text, or a list of it")


def _refused(remedy: str) -> BeforeValidator:
    def check(value: Any) -> None:
        if value:
            raise ValueError(f"is not taken here; {remedy}")

    return BeforeValidator(check)


def _device(value: Any) -> Any:
    """A device that is there; without a GPU, MONAI Label takes the processor for each of them."""
    name = value[0] if isinstance(value, list) and value else value or "cpu"  # a choice, as /info/ offers it
    here = {"cpu", "cuda", *device_map(), *device_map().values()}
    if isinstance(name, str) and (name in here or (name.startswith("cuda") and not torch.cuda.is_available())):
        return value
    raise ValueError(f"{ascii(name).strip(chr(39))[:60]} is not there; use one of {', '.join(sorted(here))}")


def _gpus(value: Any) -> Any:
    if not isinstance(value or "", str) or not _GPUS.fullmatch(value or ""):
        raise ValueError("must be all, or numbers such as 0,1")
    return value


def _level(value: Any) -> Any:
    if str(value or "INFO").upper() not in _LEVELS:
        raise ValueError(f"must be one of {', '.join(_LEVELS)}")
    return value


Device = Annotated[Any, BeforeValidator(_device)]


Count = Annotated[
    StrictInt,
    BeforeValidator(lambda value: int(value) if isinstance(value, bool) else value),
    Field(ge=0, lt=2**31, description="a whole number, 0 or more"),
]
"""A number of images or processes; true and false stand for 1 and 0, as in Python."""


class NextSampleBody(Body):
    """Who asks for an image, and what is said of the one before."""

    client_id: ShortText = None
    strategy: ShortText = None
    skip: ShortText = None
    skip_reason: ShortText = None


class MaskSettings(Body):
    """What the segmentation knows of an inference's settings."""

    device: Device = None
    result_dtype: Annotated[Any, _one_of(*_DTYPES)] = None
    result_compress: Annotated[Any, _one_of(*_SWITCHES)] = None
    result_extension: Text = Field(None, description="text, such as .nii.gz")
    label_info: Segments = Field([], description=SEGMENTS)
    selected_label_name: ShortText = None
    engine: Annotated[Any, BeforeValidator(_choice)] = None
    axis: Annotated[Any, BeforeValidator(_choice)] = None
    client_id: Any = None


class InferenceBody(MaskSettings):
    """Settings of an inference; by its own four fields MONAI Label would read or write any file."""

    image: Annotated[Any, _refused("name the image in the address, ?image=ID, or send it as file")] = None
    session: Annotated[Any, _refused("name it in the address, ?session_id=ID")] = None
    save_label: Annotated[Any, _refused("submit the label with PUT /datastore/label")] = None
    label_tag: Annotated[Any, _refused("submit the label with PUT /datastore/label")] = None


class BatchBody(MaskSettings):
    """Settings of an inference on many images."""

    image: Annotated[Any, _refused("name images by the key images")] = None
    session: Annotated[Any, _refused("it is for one image")] = None
    label_tag: Text = Field(None, description="text, such as original")
    images: str | list[str] = Field("all", description="all, labeled, unlabeled, or a list of ids of images that exist")
    max_batch_size: Count = 0
    max_workers: Count = 0
    logging: Annotated[Any, BeforeValidator(_level)] = None


class TaskBody(Body):
    """What every background task may be told."""

    gpus: Annotated[Any, BeforeValidator(_gpus)] = None
    device: Device = None


def inference_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the segmentation knows, checked; viewers may send others, which are left out.

    Raises:
        HTTPException: one is of no use (422).
    """
    parse_body(InferenceBody, params, "params")
    return {key: params[key] for key in MaskSettings.model_fields if key in params}


def check_task_body(request: Mapping[str, Any]) -> None:
    """Refuse what no background task may be told.

    Raises:
        HTTPException: there is such a thing (422).
    """
    if "bundle_path" in request:
        raise HTTPException(422, "bundle_path: not taken here; the app knows where its networks are.")
    parse_body(TaskBody, request)

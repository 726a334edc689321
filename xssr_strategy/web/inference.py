"""What ``/infer/{model}`` may be asked: images of the studies, and those that the asker has sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any

import torch
from fastapi import HTTPException
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import device_map

from xssr_strategy.datastores.metadata import check_label_info
from xssr_strategy.web.request_checks import json_object, patch_endpoint

_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
_SWITCHES = (True, False, "true", "false", "True", "False")
_ELSEWHERE = {  # what MONAI Label takes from the settings, too, and then reads or writes anything for anybody
    "image": "name the image in the address, ?image=ID, or send it as file",
    "session": "name it in the address, ?session_id=ID",
    "save_label": "submit the label with PUT /datastore/label",
    "label_tag": "submit the label with PUT /datastore/label",
}
_sent: ContextVar[bool] = ContextVar("the image was sent", default=False)


def guard_inference() -> None:
    """From here on inference reads no file of the server but images of the studies and what was sent to it.

    MONAI Label 0.8.5 takes any path for an image, in the address and in the settings, and lets whoever may look at
    images store a label with ``save_label``.
    """
    patch_endpoint("infer", "run_inference", _guarded)
    patch_endpoint("wsi_infer", "run_wsi_inference", _not_offered)


def image_was_sent() -> bool:
    """Whether the image of the inference at hand is a file that the asker has sent; otherwise it is an id."""
    return _sent.get()


def inference_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the segmentation knows, checked; viewers may send others, which are left out.

    Raises:
        HTTPException: one is of no use (422).
    """
    for key, remedy in _ELSEWHERE.items():
        if params.get(key):
            raise HTTPException(422, f"params: {key} is not taken here; {remedy}.")
    check_device(params.get("device"))
    _check_one_of("result_dtype", params.get("result_dtype"), _DTYPES)
    _check_one_of("result_compress", params.get("result_compress"), _SWITCHES)
    if not isinstance(params.get("result_extension") or "", str):
        raise HTTPException(422, "params: result_extension must be text, such as .nii.gz.")
    check_label_info(params.get("label_info"))
    known = ("device", "result_dtype", "result_compress", "result_extension", "label_info", "client_id")
    return {key: params[key] for key in known if key in params}


def check_device(device: Any) -> None:
    """Refuse a device that is not there.

    Raises:
        HTTPException: it is not (422).
    """
    name = device[0] if isinstance(device, list) and device else device or "cpu"  # a choice, as /info/ offers it
    here = {"cpu", "cuda", *device_map(), *device_map().values()}
    if isinstance(name, str) and (name in here or (name.startswith("cuda") and not torch.cuda.is_available())):
        return  # without a GPU, MONAI Label takes the processor for each of them
    raise HTTPException(422, f"device: {str(name)[:60]} is not there; use one of {', '.join(sorted(here))}.")


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run_inference(
        background_tasks: Any,
        model: str,
        image: str = "",
        session_id: str = "",
        params: str = "{}",
        file: Any = None,
        label: Any = None,  # scribbles, of which the segmentation makes no use
        output: Any = None,
    ) -> Any:
        app = app_instance()
        settings = inference_settings(json_object("params", params or "{}"))
        if output == "dicom_seg" and not isinstance(app.datastore(), DICOMWebDatastore):
            raise HTTPException(422, "output: dicom_seg needs an archive; ask for image.")
        sessions = app.sessions() if session_id else None
        session = sessions.get_session(session_id) if sessions else None
        if not (file or image or session):
            raise HTTPException(404, "There is no image: name one of the studies, ?image=ID, or send it as file.")
        token = _sent.set(bool(file or session))
        try:
            text = json.dumps(settings)
            return function(background_tasks, model, image, session_id if session else "", text, file, None, output)
        finally:
            _sent.reset(token)

    return run_inference


def _not_offered(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run_wsi_inference(*args: Any, **kwargs: Any) -> Any:
        raise HTTPException(404, "Whole slides are not segmented here; ask POST /infer/segmentation.")

    return run_wsi_inference


def _check_one_of(key: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value is not None and (isinstance(value, (dict, list)) or value not in allowed):
        names = ", ".join(dict.fromkeys(str(one).lower() for one in allowed))
        raise HTTPException(422, f"params: {key} must be one of {names}.")

"""What ``/infer/{model}`` may be asked: images of the studies, and those that the asker has sent."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from fastapi import HTTPException
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import remove_file

from xssr_strategy.archive.dicom_seg import write_segmentation
from xssr_strategy.datastores.metadata import as_list
from xssr_strategy.segmentation.mask_files import VOLUMES
from xssr_strategy.tasks.inference_request import IMAGE_WAS_SENT
from xssr_strategy.tasks.propagation_infer import PROPAGATE
from xssr_strategy.web.bodies import inference_settings
from xssr_strategy.web.inference_thread import in_server_thread
from xssr_strategy.web.request_checks import json_object, patch_endpoint


def check_inference_requests() -> None:
    """From here on inference reads no file of the server but images of the studies and what was sent to it.

    MONAI Label 0.8.5 takes any path for an image, in the address and in the settings, and lets whoever may look at
    images store a label with ``save_label``.
    """
    patch_endpoint("infer", "run_inference", _checked)
    patch_endpoint("infer", "nifti_to_dicom_seg", lambda _: _segmentation_file)
    patch_endpoint("wsi_infer", "run_wsi_inference", _not_offered)


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run_inference(
        background_tasks: Any,
        model: str,
        image: str = "",
        session_id: str = "",
        params: str = "{}",
        file: Any = None,
        label: Any = None,  # drawn slices, or scribbles, of which the segmentation makes no use
        output: Any = None,
    ) -> Any:
        app = app_instance()
        settings = inference_settings(json_object("params", params or "{}"))
        if output == "dicom_seg" and not isinstance(app.datastore(), DICOMWebDatastore):
            raise HTTPException(422, "output: dicom_seg needs an archive; ask for image.")
        if output == "dicom_seg":
            if file or not image:
                raise HTTPException(422, "output: dicom_seg needs a series of the archive, ?image=ID; ask for image.")
            settings["result_extension"] = ".nrrd"  # between the two formats; dcmqi reads no sheared NIfTI
            settings["label_info"] = as_list(settings.get("label_info"))
        label = _drawn(label) if model == PROPAGATE else None
        sessions = app.sessions() if session_id and output != "dicom_seg" else None  # which is of the series
        session = in_server_thread(sessions.get_session, session_id) if sessions else None
        if not (file or image or session):
            raise HTTPException(404, "There is no image: name one of the studies, ?image=ID, or send it as file.")
        sent = bool(file or session)
        token = IMAGE_WAS_SENT.set(sent)
        try:
            text, image = json.dumps(settings), "" if sent else image  # or it counted as sent, were the session gone
            reply = function(background_tasks, model, image, session_id if session else "", text, file, label, output)
            if output == "dicom_seg":
                background_tasks.add_task(remove_file, reply.path)
            return reply
        except BaseException:
            for task in background_tasks.tasks:  # which follow an answer, but no error
                if task.func is remove_file:
                    remove_file(*task.args)
            raise
        finally:
            IMAGE_WAS_SENT.reset(token)

    return run_inference


def _drawn(label: Any) -> Any:
    """The label that was sent, if it is a file of labels; MONAI Label writes it under the ending of its name.

    Raises:
        HTTPException: it is no such file (422).
    """
    if label and not str(label.filename or ".nii.gz").lower().endswith(VOLUMES):
        raise HTTPException(422, f"label: send it as one of {', '.join(VOLUMES)}.")
    return label or None


def _segmentation_file(series: str, label: str, label_info: Any, *_args: Any, **_kwargs: Any) -> str:
    """The mask of a series as DICOM SEG, written as submitted labels are.

    MONAI Label 0.8.5 would give the first number that is drawn the first name, so that a tumour alone is called liver,
    and fails for files that hold several frames.

    Args:
        series: folder of the DICOM files.
        label: file of the mask.
        label_info: mappings with ``name``, and ``color``, ``description`` or dcmqi's own ``segmentAttribute`` if the
            asker wants. Where each name is one of the app's labels, each is of that label; otherwise they are in the
            order of the numbers. By default the app's labels.

    Raises:
        HTTPException: nothing is drawn (422).
    """
    labels = list(app_instance().labels)
    asked = _by_number(list(label_info or ()), labels)
    said = [(name, asked.get(number, {})) for number, name in enumerate(labels, start=1)]
    names = [info.get("name") or name for name, info in said]
    attributes = {number: _attributes(info) for number, (_, info) in enumerate(said, start=1)}
    with tempfile.NamedTemporaryFile(suffix=".dcm", delete=False) as file:
        path = Path(file.name)
    try:
        mask = sitk.Cast(sitk.ReadImage(label), sitk.sitkUInt8)
        if not np.any(sitk.GetArrayViewFromImage(mask)):
            raise HTTPException(422, "Nothing is segmented on this image, which a DICOM SEG cannot say; ask for image.")
        write_segmentation(mask, Path(series), names, path, attributes)
    except BaseException:  # of what is answered, MONAI Label removes the mask
        remove_file(label)
        remove_file(str(path))
        raise
    return str(path)


def _by_number(label_info: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> dict[int, Mapping[str, Any]]:
    """Number -> what is said of it; a label that is named elsewhere in the list must not change places with another."""
    numbers = {name.lower(): number for number, name in enumerate(labels, start=1)}
    named = [numbers.get(str(info.get("name", "")).lower()) for info in label_info]
    if None in named or len(set(named)) < len(named):
        return dict(enumerate(label_info, start=1))
    return {number: info for number, info in zip(named, label_info, strict=True) if number is not None}


def _attributes(info: Mapping[str, Any]) -> dict[str, Any]:
    """What dcmqi shall write about a segment, from what clients say of it; what is no colour is passed over."""
    found: dict[str, Any] = {"SegmentAlgorithmType": "AUTOMATIC"}
    described, colour, own = (info.get(key) for key in ("description", "color", "segmentAttribute"))
    if isinstance(described, str) and described:
        found["SegmentDescription"] = described
    if isinstance(colour, list) and len(colour) >= 3 and all(part in range(256) for part in colour):
        found["recommendedDisplayRGBValue"] = [int(part) for part in colour[:3]]
    return found | {key: value for key, value in (own if isinstance(own, dict) else {}).items() if key != "labelID"}


def _not_offered(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run_wsi_inference(*args: Any, **kwargs: Any) -> Any:
        raise HTTPException(404, "Whole slides are not segmented here; ask POST /infer/segmentation.")

    return run_wsi_inference

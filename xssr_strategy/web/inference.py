"""What ``/infer/{model}`` may be asked: images of the studies, and those that the asker has sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from fastapi import HTTPException
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.interfaces.utils.app import app_instance

from xssr_strategy.archive.volumes import correct_slice_distance
from xssr_strategy.tasks.inference_request import IMAGE_WAS_SENT
from xssr_strategy.web.bodies import inference_settings
from xssr_strategy.web.request_checks import json_object, patch_endpoint


def check_inference_requests() -> None:
    """From here on inference reads no file of the server but images of the studies and what was sent to it.

    MONAI Label 0.8.5 takes any path for an image, in the address and in the settings, and lets whoever may look at
    images store a label with ``save_label``.
    """
    patch_endpoint("infer", "run_inference", _checked)
    patch_endpoint("infer", "nifti_to_dicom_seg", _named_and_placed)
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
        label: Any = None,  # scribbles, of which the segmentation makes no use
        output: Any = None,
    ) -> Any:
        app = app_instance()
        settings = inference_settings(json_object("params", params or "{}"))
        if output == "dicom_seg" and not isinstance(app.datastore(), DICOMWebDatastore):
            raise HTTPException(422, "output: dicom_seg needs an archive; ask for image.")
        if output == "dicom_seg":
            settings["result_extension"] = ".nrrd"  # between the two formats; dcmqi reads no sheared NIfTI
        sessions = app.sessions() if session_id else None
        session = sessions.get_session(session_id) if sessions else None
        if not (file or image or session):
            raise HTTPException(404, "There is no image: name one of the studies, ?image=ID, or send it as file.")
        token = IMAGE_WAS_SENT.set(bool(file or session))
        try:
            text = json.dumps(settings)
            return function(background_tasks, model, image, session_id if session else "", text, file, None, output)
        finally:
            IMAGE_WAS_SENT.reset(token)

    return run_inference


def _named_and_placed(function: Callable[..., str]) -> Callable[..., str]:
    """MONAI Label 0.8.5 gives the first number that is drawn the first name: a tumour alone would be called liver."""

    @wraps(function)
    def nifti_to_dicom_seg(series_dir: str, label: str, label_info: Any, *args: Any, **kwargs: Any) -> str:
        volume = sitk.ReadImage(label)
        drawn = [int(number) for number in np.unique(sitk.GetArrayViewFromImage(volume)) if number]
        if label_info and max(drawn, default=0) <= len(label_info):
            label_info = [label_info[number - 1] for number in drawn]
        file = function(series_dir, label, label_info, *args, **kwargs)
        if file and Path(file).is_file():
            correct_slice_distance(Path(file), volume)
        return file

    return nifti_to_dicom_seg


def _not_offered(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run_wsi_inference(*args: Any, **kwargs: Any) -> Any:
        raise HTTPException(404, "Whole slides are not segmented here; ask POST /infer/segmentation.")

    return run_wsi_inference

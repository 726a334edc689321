"""A network that is uploaded is checked before it takes the place of the published one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import file_checksum

from xssr_strategy.tasks.segmentation_infer import SegmentationInfer
from xssr_strategy.web.request_checks import patch_endpoint


def validate_uploaded_models() -> None:
    """From here on an uploaded network is published only if it can be read and fits the plan of the present one.

    MONAI Label 0.8.5 copies whatever comes over the published file.
    """
    patch_endpoint("model", "update_model", _validated)


def _validated(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def update_model(background_tasks: Any, model: str, file: Any) -> dict[str, Any]:
        task = app_instance()._infers.get(model)
        if not isinstance(task, SegmentationInfer):
            raise HTTPException(404, f"model '{model}' does not exist; name segmentation.")
        with tempfile.TemporaryDirectory() as folder:
            uploaded = Path(folder) / "uploaded.pt"
            with uploaded.open("wb") as stream:
                shutil.copyfileobj(file.file, stream)
            published: Path = task.replace(uploaded)
        return {"checksum": file_checksum(published), "modified_time": int(published.stat().st_mtime)}

    return update_model

"""The MONAI Label app: ``monailabel start_server --app apps/xssr --studies DIR [--conf KEY VALUE ...]``.

Only wiring; what each part does stands in ``xssr_strategy``.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.utils.async_tasks.utils import tasks

import xssr_strategy
from xssr_strategy.datastores.archive import ArchiveDatastore
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.tasks.encoder_trainer import EncoderTrainer
from xssr_strategy.tasks.entropy import EntropyScoring
from xssr_strategy.tasks.guarded_run import report_disk_errors
from xssr_strategy.tasks.map_scoring import MapScoring
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.scoring import XSSRScoring
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer
from xssr_strategy.tasks.segmentation_trainer import SegmentationTrainer
from xssr_strategy.tasks.startup import in_background_process, report_startup_errors_in_one_line, startup_errors
from xssr_strategy.tasks.strategies import served_strategies
from xssr_strategy.web.auth import accept_signed_tokens, close_reload, guard_model_files
from xssr_strategy.web.background_tasks import guard_background_tasks
from xssr_strategy.web.error_handlers import add_error_handlers, limit_proxy
from xssr_strategy.web.inference import guard_inference, image_was_sent
from xssr_strategy.web.log_filters import keep_patients_out_of_logs
from xssr_strategy.web.map_routes import serve_map
from xssr_strategy.web.model_upload import validate_uploaded_models
from xssr_strategy.web.request_checks import validate_requests
from xssr_strategy.web.sessions import SafeSessions

logger = logging.getLogger(__name__)

_LONGEST = 1000  # characters of a name or a reason (our choice)


class XSSRApp(MONAILabelApp):
    """Representative selection, and a U-Net that learns from the few images selected."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        report_startup_errors_in_one_line()
        add_error_handlers()
        limit_proxy()
        accept_signed_tokens()
        close_reload()
        guard_model_files()
        keep_patients_out_of_logs()
        guard_inference()
        guard_background_tasks()
        validate_uploaded_models()
        validate_requests()  # before all others
        # Inherited by the background processes: scoring and training may run at the same time, and
        # threads that wait actively would take the processor from each other and from the server.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self.project = Project(studies, conf)
        self._starting = False
        self._map = MapScoring(self.project)
        self.model_path = self.project.workspace.segmentation
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="XSSR",
            description="Chooses which scans deserve an annotation, and learns from just those",
            version=xssr_strategy.__version__,
            labels=list(self.project.settings.labels),
        )
        serve_map(self.project, studies, self.datastore, self._lay_out)

    def init_datastore(self) -> Datastore:
        if self.project.archive is not None:
            return ArchiveDatastore(self.project.archive, self.project.settings.labels)
        project = self.project
        with startup_errors():
            return StudiesDatastore(
                self.studies,
                watch=not in_background_process(),  # of the folder: the server alone answers for it
                preset=project.preset,
                labels=project.settings.labels,
                links=project.workspace.pictures if project.preset.spatial_dims == 2 else None,
            )

    def _load_sessions(self, load: bool = False) -> SafeSessions | None:
        return SafeSessions(settings.MONAI_LABEL_SESSION_PATH, settings.MONAI_LABEL_SESSION_EXPIRY) if load else None

    def init_infers(self) -> dict[str, InferTask]:
        return {
            "segmentation": SegmentationInfer(self.model_path, self.project.preset, self.project.settings.labels),
        }

    def init_trainers(self) -> dict[str, TrainTask]:
        return {
            "segmentation": SegmentationTrainer(
                self.project.workspace.models,
                self.project.preset,
                self.project.settings.labels,
                self.model_path,
                self.project.settings.training,
                self.project.unlabelled_images,
            ),
            "encoder": EncoderTrainer(self.project),
        }

    def init_strategies(self) -> dict[str, Strategy]:
        return served_strategies(self.project)

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        return {
            "xssr": XSSRScoring(self.project, self._datastore),
            "entropy": EntropyScoring(self.project, self._datastore),
            "map": self._map,
        }

    def on_init_complete(self) -> None:
        self._starting = True  # files may have been replaced while no server was running
        try:
            super().on_init_complete()
        finally:
            self._starting = False

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """As the base class, but an archive's series is converted meanwhile, and a viewer gets the default strategy.

        OHIF always asks for ``random`` and sends no ``client_id``; 3D Slicer always sends one.

        Raises:
            HTTPException: there is no such strategy (404), or what is asked is no text (422).
        """
        for key in ("client_id", "strategy", "skip", "skip_reason"):
            if not isinstance(request.get(key) or "", str) or len(request.get(key) or "") > _LONGEST:
                raise HTTPException(422, f"{key}: must be text of at most {_LONGEST} characters.")
        viewer = self.project.settings.viewer_strategy
        name = request.get("strategy") or "random"
        if viewer != "off" and name == "random" and not request.get("client_id"):
            name = viewer
        if name not in self._strategies:
            raise HTTPException(
                404, f"strategy '{name}' does not exist; the strategies are {', '.join(self._strategies)}."
            )
        datastore = self.datastore()
        answer: dict[str, Any] | None = self._strategies[name]({**request, "strategy": name}, datastore)
        if not answer:
            return {}
        if isinstance(datastore, ArchiveDatastore):
            datastore.make_ready(answer["id"])
            answer["path"] = datastore.image_path(answer["id"])
        else:
            answer["path"] = datastore.get_image_uri(answer["id"])
        logger.info("Next sample: %s for %s by %s", answer["id"], request.get("client_id") or "a viewer", name)
        if self._auto_update_scoring:
            self.async_scoring(None)
        return answer

    def on_save_label(self, image_id: str, label_id: str) -> dict[str, str]:
        """Joins the answer to a submitted label: ``warning``, if something is odd about it."""
        odd = self._datastore.remarks.get(image_id)
        return {"warning": f"The label is kept, but {odd}."} if odd else {}

    def async_scoring(self, method: str | None, params: dict[str, Any] | None = None) -> Any:
        """As the base class, but what MONAI Label starts by itself (no method named) runs only when it is due."""
        if method is not None:
            return super().async_scoring(method, params)
        waiting = [task["request"]["method"] for task in tasks("scoring") if task["status"] in ("SUBMITTED", "RUNNING")]
        due = {
            "xssr": lambda: self.project.scoring_is_due(self._datastore, look_at_files=self._starting),
            "entropy": lambda: self.project.entropy_is_due(self._datastore),
            "map": lambda: self._map.is_due(self._datastore),
        }
        return {
            name: super(XSSRApp, self).async_scoring(name, params)
            for name, is_due in due.items()
            if name in self._scoring_methods and name not in waiting and is_due()  # scoring may be switched off
        }

    def scoring(self, request: dict[str, Any], datastore: Datastore | None = None) -> Any:
        self._give_way()
        with report_disk_errors(self.project, "Scoring"):
            return super().scoring(request, datastore)

    def train(self, request: dict[str, Any]) -> Any:
        self._give_way()
        with report_disk_errors(self.project, "Training"):
            return super().train(request)

    def batch_infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> Any:
        """As the base class, which by default counts on several GPUs, and fails where there is none."""
        self._give_way()
        several = bool(request.get("multi_gpu", True)) and torch.cuda.is_available()
        return super().batch_infer({**request, "multi_gpu": several}, datastore)

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> Any:
        """As the base class.

        Raises:
            HTTPException: there is no such image.
        """
        image = request.get("image")
        if image_was_sent():
            logger.info("Inference on an image that was sent")
            return super().infer(request, datastore)
        file = self._datastore.get_image_uri(image) if isinstance(image, str) else ""
        if not file:
            raise HTTPException(404, f"image '{image}' does not exist; name the id of an image of the studies.")
        logger.info("Inference on %s", image)
        if os.path.exists(str(image)):  # something else of that name, in the folder where the server was started
            request = {**request, "image": file}
        return super().infer(request, datastore)

    def bundle_path(self, model: str | None) -> None:
        """MONAI Label asks for it before it starts a task; no task here is a bundle."""

    def _lay_out(self) -> None:
        """Somebody looks at the map: have it made if it is not up to date."""
        if self._auto_update_scoring and self._map.is_due(self._datastore):
            self.async_scoring(None)

    def _give_way(self) -> None:
        """Leave the processor to the server, so that annotators never wait for a background process."""
        if in_background_process():
            os.nice(10)

"""The MONAI Label app: ``monailabel start_server --app apps/xssr --studies DIR [--conf KEY VALUE ...]``.

Only wiring; what each part does stands in ``xssr_strategy``.
"""

from __future__ import annotations

import os
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

import xssr_strategy
from xssr_strategy import web
from xssr_strategy.datastores.opening import open_datastore
from xssr_strategy.tasks.guarded_run import leave_processor_to_server, report_disk_errors
from xssr_strategy.tasks.inference_request import batch_request, inference_request
from xssr_strategy.tasks.infers import served_models
from xssr_strategy.tasks.map_scoring import MapScoring
from xssr_strategy.tasks.model_scoring import EntropyScoring, QualityScoring
from xssr_strategy.tasks.next_sample import next_sample
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.scoring import XSSRScoring
from xssr_strategy.tasks.scoring_schedule import due_methods
from xssr_strategy.tasks.startup import (
    in_background_process,
    report_startup_errors_in_one_line,
    startup_errors,
)
from xssr_strategy.tasks.strategies import served_strategies
from xssr_strategy.tasks.trainers import served_trainers
from xssr_strategy.web.sessions import SafeSessions


class XSSRApp(MONAILabelApp):
    """Representative selection, and a U-Net that learns from the few images selected."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        report_startup_errors_in_one_line()
        # Inherited by the background processes: scoring and training may run at the same time, and
        # threads that wait actively would take the processor from each other and from the server.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self.project = Project(studies, conf)
        self._starting = False
        self._map = MapScoring(self.project)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="XSSR",
            description="Chooses which scans deserve an annotation, and learns from just those",
            version=xssr_strategy.__version__,
            labels=list(self.project.settings.labels),
        )
        web.install(self)  # the server takes requests, and starts scoring, only after this

    def init_datastore(self) -> Datastore:
        with startup_errors():  # the server alone watches the folder
            return open_datastore(self.project.opened, watch=not in_background_process())

    def _load_sessions(self, load: bool = False) -> SafeSessions | None:
        return SafeSessions(settings.MONAI_LABEL_SESSION_PATH, settings.MONAI_LABEL_SESSION_EXPIRY) if load else None

    def init_infers(self) -> dict[str, InferTask]:
        return served_models(self.project)

    def init_trainers(self) -> dict[str, TrainTask]:
        return served_trainers(self.project)

    def init_strategies(self) -> dict[str, Strategy]:
        return served_strategies(self.project)

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        return {
            "xssr": XSSRScoring(self.project, self._datastore),
            "entropy": EntropyScoring(self.project, self._datastore),
            "quality": QualityScoring(self.project, self._datastore),
            "map": self._map,
        }

    def on_init_complete(self) -> None:
        self._starting = True  # files may have been replaced while no server was running
        try:
            super().on_init_complete()
        finally:
            self._starting = False

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = next_sample(request, self.datastore(), self._strategies, self.project.settings.viewer_strategy)
        if answer and self._auto_update_scoring:
            self.async_scoring(None)
        return answer

    def on_save_label(self, image_id: str, label_id: str) -> dict[str, str]:
        odd = self._datastore.remarks.get(image_id)
        return {"warning": f"The label is kept, but {odd}."} if odd else {}

    def async_scoring(self, method: str | None, params: dict[str, Any] | None = None) -> Any:
        if method is not None:
            return super().async_scoring(method, params)
        due = due_methods(self.project, self._map, self._datastore, self._scoring_methods, self._starting)
        return {name: super(XSSRApp, self).async_scoring(name, params) for name in due}

    def scoring(self, request: dict[str, Any], datastore: Datastore | None = None) -> Any:
        leave_processor_to_server()
        with report_disk_errors(self.project, "Scoring"):
            return super().scoring(request, datastore)

    def train(self, request: dict[str, Any]) -> Any:
        leave_processor_to_server()
        with report_disk_errors(self.project, "Training"):
            return super().train(request)

    def batch_infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> Any:
        leave_processor_to_server()
        return super().batch_infer(batch_request(request), datastore)

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> Any:
        datastore = datastore or self._datastore  # of a thread that computes a mask, another one that asks it
        return super().infer(inference_request(request, datastore, self.project.settings.labels), datastore)

    def bundle_path(self, model: str | None) -> None:
        """MONAI Label asks for it before it starts a task; no task here is a bundle."""

    def update_map(self) -> None:
        """Somebody looks at the map: have it made if it is not up to date."""
        if self._auto_update_scoring and self._map.is_due(self._datastore):
            self.async_scoring(None)

"""XSSR in an app of your own: four lines beside whatever models the app has already."""

from __future__ import annotations

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.scoring import XSSRScoring
from xssr_strategy.tasks.strategy import XSSRStrategy


class SelectionOnly(MONAILabelApp):
    """Your app: keep its infers and trainers, add the two methods below."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.project = Project(studies, conf)
        super().__init__(app_dir, studies, conf, name="Selection only", labels=list(self.project.settings.labels))

    def init_strategies(self) -> dict[str, Strategy]:
        return {"xssr": XSSRStrategy(self.project)}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        return {"xssr": XSSRScoring(self.project, self._datastore)}

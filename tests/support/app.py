"""The parts of the app that need no server: real datastore, real scoring, in one process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.pools import write
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.scoring import XSSRScoring
from xssr_strategy.tasks.strategy import XSSRStrategy

CONF = {"encoder_steps": "1", "budget": "3"}


class App:
    """The parts of the app that need no server."""

    def __init__(self, root: Path, conf: dict[str, str] = CONF) -> None:
        self.studies = write(root / "studies", 16, 1)
        self.reopen(conf)

    def reopen(self, conf: dict[str, str] = CONF) -> None:
        self.project = Project(str(self.studies), conf)
        self.datastore = StudiesDatastore(str(self.studies))
        self.scoring = XSSRScoring(self.project, self.datastore)
        self.strategy = XSSRStrategy(self.project)

    def score(self) -> dict:
        return self.scoring({}, self.datastore)

    def ask(self, client: str = "", **more: str) -> dict | None:
        return self.strategy({"strategy": "xssr", "client_id": client, **more}, self.datastore)

    def next(self) -> dict | None:
        """The next sample, given back at once."""
        answer = self.ask()
        self.project.leases.end(self.project.leases.out())
        return answer

    def label(self, image: str) -> None:
        file = self.studies.parent / "label.png"
        Image.fromarray(np.ones((32, 32), np.uint8)).save(file)
        self.datastore.save_label(image, str(file), "final", {})

    def state(self) -> str:
        return self.scoring.info()["state"]

    def due(self, look_at_files: bool = False) -> bool:
        return self.project.scoring_is_due(self.datastore, look_at_files)

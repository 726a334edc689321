"""One annotator's requests, as bare as a viewer sends them, so that a broken connection shows as what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import requests

BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
"""The server is gone, or does not answer: nothing is acknowledged."""


class Refused(Exception):  # noqa: N818
    """An answer other than 200."""

    def __init__(self, answer: requests.Response) -> None:
        self.status, self.text = answer.status_code, answer.text
        super().__init__(f"{answer.request.method} {answer.request.path_url}: {self.status} {self.text[:300]}")

    @property
    def sentence(self) -> str:
        """``detail`` of the answer."""
        return str(json.loads(self.text)["detail"])


class Clicks:
    """Requests to one server under one name; a class for one thread."""

    def __init__(self, url: str, name: str = "reader", patience: float = 300) -> None:
        self.url, self.name, self._patience = url, name, patience
        self._session = requests.Session()

    def next_sample(self, strategy: str = "xssr") -> dict[str, Any]:
        """The answer of the strategy; empty if nothing is left."""
        return self.ask("POST", f"/activelearning/{strategy}", json={"client_id": self.name})

    def submit(self, image: str, label: bytes, suffix: str = ".png") -> dict[str, Any]:
        """Submit a final label: the bytes of its file."""
        return self.ask(
            "PUT",
            "/datastore/label",
            params={"image": image, "tag": "final"},
            data={"params": json.dumps({"client_id": self.name})},
            files={"label": (f"label{suffix}", label)},
        )

    def score(self) -> dict[str, Any]:
        """Start the scoring ``xssr``."""
        return self.ask("POST", "/scoring/xssr")

    def train(self, model: str = "segmentation", **settings: Any) -> dict[str, Any]:
        """Start a training."""
        return self.ask("POST", f"/train/{model}", json=settings)

    def info(self) -> dict[str, Any]:
        """What the server says of itself."""
        return self.ask("GET", "/info/")

    def nothing_runs(self, kind: str = "scoring") -> bool:
        """Whether no background task of this kind runs or waits for its turn."""
        try:
            listed = self.ask("GET", f"/{kind}/", params={"all": True})
        except Refused as refused:
            if refused.status != 404:  # none was ever started
                raise
            return True
        return not any(task["status"] in ("SUBMITTED", "RUNNING") for task in listed)

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """JSON of the answer.

        Raises:
            Refused: the status is not 200.
        """
        answer = self._session.request(method, self.url + path, timeout=self._patience, **more)
        if answer.status_code != 200:
            raise Refused(answer)
        return answer.json()


def labels_on_disk(studies: Path) -> dict[str, bytes]:
    """id -> content of every final label."""
    return {file.stem: file.read_bytes() for file in (studies / "labels" / "final").glob("*.png")}

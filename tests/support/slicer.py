"""3D Slicer as the server sees it: what its MONAI Label module (0.8.5) sends, in the order a user causes it.

Slicer cannot run in a test. This client sends the same requests over HTTP, byte for byte where the shape matters:
JSON bodies, the multipart form with its fixed boundary, the settings of a model or trainer as ``/info/`` offers them,
``GET /auth/`` before each request. It reads the same fields of the answers, opens images with ITK as Slicer does, and
exports a segmentation as Slicer does: one labelmap on the voxels of the volume, as ``.nii.gz``.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import numpy as np
import requests
import SimpleITK as sitk
from requests_toolbelt import MultipartDecoder

from tests.support.slicer_images import Scene, checksum, opened

_BOUNDARY = "----------lImIt_of_THE_fIle_eW_$"
_TIMEOUT = 300  # seconds; Slicer has none


class Refused(Exception):  # noqa: N818
    """The error box that Slicer shows: the status and the text of the server's answer."""

    def __init__(self, answer: requests.Response) -> None:
        self.status, self.text = answer.status_code, answer.text
        super().__init__(f"Status: {self.status}; Response: {self.text}")

    @property
    def sentence(self) -> str:
        """``detail`` of a JSON answer, as MONAI Label's own refusals have it."""
        return str(json.loads(self.text)["detail"])


@dataclass
class Slicer:
    """One Slicer with the module open.

    Args:
        url: of the server.
        folder: for downloads and temporary files.
        client_id: Client/User-ID of the module's settings.
        same_machine: whether the server's paths exist here too; then images are opened where they are.
        login: user name and password, for a server that asks.
        auto_segmentation: the setting "Auto-Run Pre-Trained Model"; on until someone has seen the settings panel.
    """

    url: str
    folder: Path
    client_id: str = "user-xyz"
    same_machine: bool = False
    login: tuple[str, str] | None = None
    auto_segmentation: bool = True
    info: dict[str, Any] = field(default_factory=dict)
    scene: Scene | None = None
    mask: sitk.Image | None = None
    told: dict[str, Any] = field(default_factory=dict)
    _token: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)

    @property
    def cache(self) -> Path:
        """Slicer's folder of downloads, shared by all servers that it ever connected to."""
        return self.folder / "cache"

    # What a user does.

    def connect(self) -> dict[str, Any]:
        """The refresh button: menus and progress bars are filled from ``/info/``."""
        self.info = self._json("GET", "/info/")
        self.training_running()
        return self.info

    def menu(self, section: str) -> list[str]:
        """The entries of a menu: ``strategies``, ``models``, ``scribbles`` or ``trainers``; the first is selected."""
        kinds = {"models": "segmentation", "scribbles": "scribbles"}
        listed = self.info["models" if section in kinds else section]
        return [name for name, one in listed.items() if section not in kinds or one["type"] == kinds[section]]

    def next_sample(self, strategy: str | None = None) -> dict[str, Any]:
        """The button "Next Sample": what the server answers, opened unless it is empty."""
        strategy = strategy or self.menu("strategies")[0]
        body = {**self._settings("strategies", strategy), "client_id": self.client_id}
        sample = self._json("POST", f"/activelearning/{quote_plus(strategy)}", body)
        if not sample.get("id"):
            return sample  # "Unlabeled samples or images not found at server."
        self.scene = opened(sample, self._file_of(sample))
        self._load_original_label(sample["id"])
        self._segment_at_once()
        return sample

    def load_volume(self, file: Path) -> None:
        """File, Add Data: the module makes the name of the file the id of the image."""
        self.scene = opened({"id": file.name.split(".")[0], "session": True}, file)

    def upload_volume(self) -> None:
        """The upload button: the open image joins the pool of the server."""
        assert self.scene is not None
        image = self.scene.sample["id"]
        self._multipart("PUT", f"/datastore/?image={quote_plus(image)}", {}, {"file": self._saved(self.scene.volume)})
        self.scene.sample = {"id": image}

    def run_model(self, model: str | None = None) -> sitk.Image:
        """The button "Run" of the auto segmentation: the mask, as Slicer reads it."""
        assert self.scene is not None
        model = model or self.menu("models")[0]
        settings = {**self._settings("models", model), "result_extension": ".nrrd", "result_dtype": "uint8"}
        self.mask = self.infer(model, self.scene.sample["id"], settings, self._session())
        return self.mask

    def update_scribbles(self, drawn: np.ndarray, segments: Sequence[str], selected: str, **edited: Any) -> sitk.Image:
        """The button "Update" of the scribbles, which sends all segments; the mask, as Slicer reads it.

        Args:
            drawn: numbers (Z, Y, X) of the segments on the voxels of the open volume.
            segments: names of the numbers 1, 2, ...
            selected: one of them, into which Slicer puts the answer; ``edited``: settings that the user has changed.
        """
        assert self.scene is not None
        method = self.menu("scribbles")[0]
        labelmap = sitk.GetImageFromArray(drawn.astype(np.int16))
        labelmap.CopyInformation(self.scene.volume)
        selector = f"/infer/{quote_plus(method)}?image={quote_plus(self.scene.sample['id'])}"
        settings = {**self._settings("models", method), "result_extension": ".nrrd", "result_dtype": "uint8", "roi": []}
        settings["label_info"] = [{"name": name, "id": number} for number, name in enumerate(segments, start=1)]
        settings |= {"selected_label_name": selected, **edited}
        self.mask = self._mask(self._multipart("POST", selector, settings, {"label": self._saved(labelmap)}))
        return self.mask

    def submit_label(self, drawn: np.ndarray) -> dict[str, Any]:
        """The button "Submit Label".

        Args:
            drawn: label numbers (Z, Y, X) on the voxels of the open volume.
        """
        assert self.scene is not None
        if self.scene.sample.get("session"):
            self.upload_volume()
        labelmap = sitk.GetImageFromArray(drawn.astype(np.int16))
        labelmap.CopyInformation(self.scene.volume)
        names = [{"name": name, "idx": number} for number, name in enumerate(self.info["labels"], start=1)]
        answer = self.save_label(self.scene.sample["id"], self._saved(labelmap), {"label_info": names})
        self.connect()
        return answer

    def start_training(self, trainer: str | None = None, **edited: Any) -> dict[str, Any]:
        """The button "Train", after ``edited`` settings were changed in the options table."""
        trainer = trainer or self.menu("trainers")[0]
        body = {**self._settings("trainers", trainer), **edited, "client_id": self.client_id}
        return self._json("POST", f"/train/{quote_plus(trainer)}", body)

    def stop_training(self) -> dict[str, Any]:
        """The stop button."""
        return self._json("DELETE", "/train/")

    def training_running(self) -> bool:
        """What enables the buttons: any answer but 200 means that nothing runs."""
        return self.send("GET", "/train/?check_if_running=true").status_code == 200

    def training_status(self) -> dict[str, Any]:
        """What the progress bar shows, asked for every five seconds."""
        return self._json("GET", "/train/")

    # What the module sends; text as ``params`` is sent as it is.

    def infer(self, model: str, image: str, params: Mapping[str, Any] | str, session: str = "") -> sitk.Image:
        """The request of "Run", and the mask in its answer."""
        selector = f"/infer/{quote_plus(model)}?image={quote_plus(image)}"
        if session:
            selector += f"&session_id={quote_plus(session)}"
        return self._mask(self._multipart("POST", selector, params, {}))

    def save_label(self, image: str, file: Path, params: Mapping[str, Any] | str) -> dict[str, Any]:
        """The request of "Submit Label"."""
        selector = f"/datastore/label?image={quote_plus(image)}"
        answer: dict[str, Any] = self._multipart("PUT", selector, params, {"label": file}).json()
        return answer

    def send(self, method: str, selector: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """One request with what the module puts before and into each; the answer, whatever its status."""
        self._log_in()
        return requests.request(
            method, f"{self.url}{selector}", data=body, headers={**self._token, **(headers or {})}, timeout=_TIMEOUT
        )

    def _log_in(self) -> None:
        enabled = requests.get(f"{self.url}/auth/", timeout=_TIMEOUT)
        if enabled.status_code != 200 or not enabled.json().get("enabled"):
            return
        valid = requests.get(f"{self.url}/auth/token/valid", headers=self._token, timeout=_TIMEOUT)
        if self.login is None or (self._token and valid.status_code == 200):
            return
        form = {"username": self.login[0], "password": self.login[1], "grant_type": "password"}
        answer = requests.post(f"{self.url}/auth/token", data=form, timeout=_TIMEOUT)
        if answer.status_code == 200:
            token = answer.json()
            self._token = {"Authorization": f"{token['token_type']} {token['access_token']}"}

    def _json(self, method: str, selector: str, body: Mapping[str, Any] | None = None) -> Any:
        text = None if body is None else json.dumps(body)
        return _accepted(self.send(method, selector, text, {"content-type": "application/json"} if text else {})).json()

    def _multipart(
        self, method: str, selector: str, params: Mapping[str, Any] | str, files: Mapping[str, Path]
    ) -> requests.Response:
        text = params if isinstance(params, str) else json.dumps({**params, "client_id": self.client_id})
        lines: list[bytes] = [f"--{_BOUNDARY}".encode(), b'Content-Disposition: form-data; name="params"', b""]
        lines.append(text.encode())
        for name, file in files.items():
            lines += [f"--{_BOUNDARY}".encode()]
            lines += [f'Content-Disposition: form-data; name="{name}"; filename="{file}"'.encode()]
            lines += [b"Content-Type: application/octet-stream", b"", file.read_bytes()]
        body = b"\r\n".join([*lines, f"--{_BOUNDARY}--".encode(), b"", b""])
        return _accepted(
            self.send(method, selector, body, {"content-type": f"multipart/form-data; boundary={_BOUNDARY}"})
        )

    def _settings(self, section: str, name: str) -> dict[str, Any]:
        """The settings that ``/info/`` offers; of a choice, the first entry."""
        config = self.info[section].get(name, {}).get("config", {})
        return {key: value[0] if isinstance(value, list) else value for key, value in config.items()}

    def _file_of(self, sample: Mapping[str, Any]) -> Path:
        """The image where it is, or downloaded; a file of that name in the cache is not downloaded again."""
        path = sample.get("path")
        if self.same_machine and path and os.path.exists(path):
            return Path(path)
        file = self.cache / sample.get("name", sample["id"])
        if file.exists():
            told = sample.get("checksum")
            if not told or told == checksum(file, told):
                return file
        # Slicer's downloader knows nothing of the token.
        image = requests.get(f"{self.url}/datastore/image?image={quote_plus(sample['id'])}", timeout=_TIMEOUT)
        file.write_bytes(_accepted(image).content)
        return file

    def _load_original_label(self, image: str) -> None:
        known = self._json("GET", "/datastore/?output=all").get("objects", {}).get(image, {})
        if "original" in known.get("labels", {}):
            self.send("GET", f"/datastore/label?label={quote_plus(image)}&tag=original")

    def _segment_at_once(self) -> None:
        labels = set(self.info.get("labels", []))
        models = [name for name, model in self.info["models"].items() if labels & set(model.get("labels", []))]
        if self.auto_segmentation and models:
            self.run_model(models[0])

    def _session(self) -> str:
        """The id of the server's copy of an image that was opened locally; empty for one of the pool."""
        assert self.scene is not None
        sample = self.scene.sample
        if not sample.get("session"):
            return ""
        known = sample.get("session_id")
        if not known or self.send("GET", f"/session/{quote_plus(known)}").status_code != 200:
            file = self._saved(self.scene.volume)
            self._log_in()
            with file.open("rb") as content:
                answer = requests.put(
                    f"{self.url}/session/",
                    files=[("files", (file.name, content))],
                    data={"client_id": self.client_id},
                    headers=self._token,
                    timeout=_TIMEOUT,
                )
            sample["session_id"] = _accepted(answer).json()["session_id"]
        return str(sample["session_id"])

    def _saved(self, image: sitk.Image) -> Path:
        handle, name = tempfile.mkstemp(suffix=".nii.gz", dir=self.folder)
        os.close(handle)
        sitk.WriteImage(image, name)
        return Path(name)

    def _mask(self, answer: requests.Response) -> sitk.Image:
        parts = MultipartDecoder.from_response(answer).parts
        image = next(part for part in parts if b"filename=" in part.headers[b"Content-Disposition"])
        self.told = next(json.loads(part.content) for part in parts if part is not image)
        with tempfile.NamedTemporaryFile(suffix=".nrrd", dir=self.folder) as file:
            file.write(image.content)
            file.flush()
            return sitk.ReadImage(file.name)


def _accepted(answer: requests.Response) -> requests.Response:
    if answer.status_code != 200:
        raise Refused(answer)
    return answer

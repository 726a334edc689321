"""Names and files that lead elsewhere: nothing outside the server's folders is read, written or deleted."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch
from PIL import Image

from tests.support.pools import write
from tests.support.warm import start_server
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.demo.server import Server

pytestmark = pytest.mark.e2e

CANARY = "canary-7f3a"
SECRET = b"of another patient"
TMP = tempfile.gettempdir()
UP = "../" * 12


@dataclass(frozen=True)
class Place:
    """A server, with another patient's scan beside its studies."""

    server: Server
    folder: Path
    model: bytes

    @property
    def studies(self) -> Path:
        return self.folder / "studies"

    @property
    def secret(self) -> Path:
        return self.folder / "elsewhere" / "secret.png"

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        return requests.request(method, self.server.url + path, timeout=3000, **more)

    def refused(self, method: str, path: str, statuses: tuple[int, ...] = (404, 422), **more: Any) -> None:
        """A sentence with one of these statuses, without the secret."""
        answer = self.ask(method, path, **more)
        assert answer.status_code in statuses, (path, answer.status_code, answer.text[:300])
        assert answer.json()["detail"]
        assert SECRET not in answer.content

    def around(self) -> dict[str, bytes]:
        """Whatever is beside the studies and where canaries would come to light; the log and sessions move."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        moving = ("studies/", "sessions/", "server.log")
        kept = {str(path.relative_to(self.folder)): path for path in files}
        found = {name: path.read_bytes() for name, path in kept.items() if not name.startswith(moving)}
        return found | {str(path): b"" for path in Path(TMP).glob(f"*{CANARY}*")}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("paths")
    studies = write(folder / "studies", 8, 1)
    secret = write(folder / "elsewhere", 1, 3) / "i00.png"
    secret.rename(folder / "elsewhere" / "secret.png")
    (folder / "elsewhere" / "secret.raw").write_bytes(SECRET * 100)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 1
    Image.fromarray(mask).save(folder / "label.png")
    own = {"MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}
    with start_server(studies, {"encoder_steps": 2}, folder / "server.log", more=own) as server:
        annotator = RestAnnotator(server.url)
        annotator.wait_until_ready(600)
        annotator.submit("i00", folder / "label.png")
        annotator.train(600, max_epochs=1, steps_per_epoch=1)
        yield Place(server, folder, (studies / ".xssr" / "model" / "segmentation.pt").read_bytes())


@pytest.fixture(autouse=True)
def nothing_around_changes(place: Place) -> Iterator[None]:
    before = place.around()
    yield
    assert place.around() == before


def test_inference_reads_no_file_of_the_server(place: Place) -> None:
    infer = "/infer/segmentation"
    for path in (place.secret, place.studies / "i00.png", "/etc/passwd", "../elsewhere/secret.png", ".", "/"):
        place.refused("POST", infer, params={"image": str(path)})
        place.refused("POST", infer, params={"image": "i01"}, data={"params": json.dumps({"image": str(path)})})
        place.refused("POST", infer, params={"session_id": str(path)})
        for wsi in ("wsi", "wsi_v2"):
            place.refused("POST", f"/infer/{wsi}/segmentation", params={"image": str(path)})
    assert place.ask("POST", infer, params={"image": "i01"}).status_code == 200


def test_whoever_may_only_look_stores_no_label_by_inference(place: Place) -> None:
    for settings in ({"save_label": True}, {"save_label": True, "label_tag": f"../../{CANARY}"}):
        place.refused("POST", "/infer/segmentation?image=i02", data={"params": json.dumps(settings)})
    assert not (place.studies / "labels" / "original" / "i02.png").exists()


def test_a_result_is_written_to_no_other_place(place: Place) -> None:
    for extension in (f"/{UP}tmp/{CANARY}.png", f"/../{CANARY}", "\0"):
        place.ask("POST", "/infer/segmentation?image=i01", data={"params": json.dumps({"result_extension": extension})})


def test_a_header_that_names_the_file_of_its_voxels(place: Place) -> None:
    raw = place.secret.with_suffix(".raw")
    mhd = f"NDims = 2\nDimSize = 8 8\nElementType = MET_UCHAR\nElementDataFile = {raw}\n".encode()
    nrrd = f"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 8 8\nencoding: raw\ndata file: {raw}\n\n".encode()
    for name, content in (("a.mhd", mhd), ("a.mha", mhd), ("A.MHA", mhd), ("a.nrrd", nrrd)):
        file = (name, content)
        place.refused("POST", "/infer/segmentation", files={"file": file})
        place.refused("PUT", f"/datastore/image?image={CANARY}", files={"file": file})
        place.refused("PUT", "/datastore/label?image=i02", files={"label": file})
        place.refused("PUT", "/session/", files=[("files", file)])
    whole = io.BytesIO()
    Image.open(place.studies / "i01.png").save(whole, "PNG")
    assert place.ask("POST", "/infer/segmentation", files={"file": ("a.png", whole.getvalue())}).status_code == 200


@pytest.mark.parametrize(
    "name", [f"{UP}tmp/{CANARY}", f"{TMP}/{CANARY}", f"../{CANARY}", "..", ".", "a/b", "a\0b", "x" * 300]
)
def test_ids_tags_models_and_methods(place: Place, name: str) -> None:
    image = ("image.png", (place.studies / "i01.png").read_bytes())
    label = ("label.png", (place.folder / "label.png").read_bytes())
    place.refused("PUT", "/datastore/image", params={"image": name}, files={"file": image})
    place.refused("PUT", "/datastore/label", params={"image": name}, files={"label": label})
    place.refused("PUT", "/datastore/label", params={"image": "i02", "tag": name}, files={"label": label})
    place.refused("GET", "/datastore/image", params={"image": name})
    place.refused("GET", "/datastore/label", params={"label": name, "tag": "final"})
    place.refused("GET", "/datastore/label", params={"label": "i00", "tag": name})
    place.refused("DELETE", "/datastore/image", params={"id": name})
    assert place.ask("DELETE", "/datastore/label", params={"id": name, "tag": name}).text == "{}"
    place.refused("POST", "/infer/segmentation", params={"session_id": name})
    place.refused("GET", "/xssr/map/thumbnail", params={"image": name})
    for method, route in (
        ("POST", "/scoring/{}"),
        ("POST", "/train/{}"),
        ("POST", "/infer/{}?image=i01"),
        ("POST", "/batch/infer/{}"),
        ("POST", "/activelearning/{}"),
        ("GET", "/model/{}"),
        ("GET", "/model/info/{}"),
        ("DELETE", "/model/{}"),
        ("PUT", "/model/{}"),
        ("GET", "/session/{}"),
        ("DELETE", "/session/{}"),
    ):
        quoted = requests.utils.quote(name, safe="").replace(".", "%2E")
        more = {"files": {"file": ("m.pt", place.model)}} if method == "PUT" else {}
        place.refused(method, route.format(quoted), (404, 405, 422), **more)


def test_settings_of_a_training_lead_nowhere(place: Place) -> None:
    away = str(place.folder / "elsewhere" / CANARY)
    for key in ("dataset", "device", "max_epochs"):
        place.refused("POST", "/train/segmentation", json={key: away})
    for key in ("bundle_path", "gpus"):
        place.refused("POST", "/scoring/xssr", json={key: away})
    paths = dict.fromkeys(("name", "run_id", "output_dir", "train_ds", "val_ds", "tracking_uri", "model_dir"), away)
    RestAnnotator(place.server.url).train(600, max_epochs=1, steps_per_epoch=1, **paths)


def test_images_of_a_batch(place: Place) -> None:
    place.refused("POST", "/batch/infer/segmentation", json={"images": [str(place.secret)], "device": "cpu"})


def test_names_of_uploaded_files(place: Place) -> None:
    content = (place.studies / "i01.png").read_bytes()
    for name in (f"{UP}tmp/{CANARY}.png", f"{TMP}/{CANARY}.png"):
        answer = place.ask("PUT", "/session/", files=[("files", (name, content))]).json()
        assert answer["session_info"]["image"].startswith(str(place.folder / "sessions"))
        assert place.ask("POST", f"/infer/segmentation?session_id={answer['session_id']}").status_code == 200
    for name in ("..", "a/..", "a\0b.png", "x" * 300 + ".png"):
        place.refused("PUT", "/session/", files=[("files", (name, content))])
        place.refused("PUT", "/datastore/image?image=one", files={"file": (name, content)})
        place.refused("POST", "/infer/segmentation", files={"file": (name, content)})
        place.refused("PUT", "/datastore/label?image=i02", files={"label": (name, content)})
        place.refused("PUT", "/model/segmentation", files={"file": (name, place.model)})


def test_a_session_described_by_its_own_files(place: Place) -> None:
    """The description of a session names its image; one that is uploaded describes none."""
    described = json.dumps({"image": str(place.secret), "expiry": 3600, "last_access_ts": 2**31}).encode()
    files = [("files", (name, described)) for name in ("meta.info", "other")]
    session = place.ask("PUT", "/session/", files=files).json()
    inner = Path(session["session_info"]["image"]).name
    place.refused("POST", f"/infer/segmentation?session_id={session['session_id']}/{inner}")


def test_archives_that_unpack_elsewhere(place: Place) -> None:
    def packed(name: str, **kind: Any) -> bytes:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            member = tarfile.TarInfo(name)
            for key, value in kind.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(b"x" * member.size))
        return content.getvalue()

    def zipped(name: str) -> bytes:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr(name, "x")
        return content.getvalue()

    out = f"{UP}{place.folder}/elsewhere/{CANARY}"
    link = {"type": tarfile.SYMTYPE, "linkname": str(place.secret.parent)}
    hard = {"type": tarfile.LNKTYPE, "linkname": str(place.secret)}
    for name, content in {
        "a.tar": packed(out, size=1),
        "b.tar": packed("in/link", **link),
        "c.tar": packed("in/link", **hard),
        "d.tar": packed("device", type=tarfile.CHRTYPE),
        "a.zip": zipped(out),
        "b.zip": zipped(f"/{place.folder}/{CANARY}"),
        "c.zip": zipped(f"..\\{CANARY}"),
        "e.zip": b"no archive",
        "f.zip": zipped("fine")[:-8],
    }.items():
        place.refused("PUT", "/session/?uncompress=true", files=[("files", (name, content))])
    fine = place.ask("PUT", "/session/?uncompress=true", files=[("files", ("g.zip", zipped("fine")))])
    assert fine.status_code == 200


def test_pages_and_their_files(place: Place) -> None:
    for route in ("/static/", "/ohif/", "/proxy/dicom/qido/", "/logs/"):
        for path in (
            f"{UP}etc/passwd",
            "%2e%2e/" * 12 + "etc/passwd",
            "..%2f" * 12 + "etc/passwd",
            "/etc/passwd",
            "%00",
        ):
            request = requests.Request("GET", place.server.url).prepare()
            request.url = f"{place.server.url}{route}{path}"  # as it is, without any tidying
            answer = requests.Session().send(request, timeout=300)
            assert b"root:" not in answer.content, request.url
            assert answer.status_code < 500 or answer.status_code == 502, (request.url, answer.status_code)


class _Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self.canary,)


def test_an_uploaded_network_is_looked_at(place: Place) -> None:
    canary = place.folder / "elsewhere" / CANARY
    published = place.studies / ".xssr" / "model" / "segmentation.pt"
    state = torch.load(io.BytesIO(place.model), weights_only=True)["model"]
    other, spoilt = io.BytesIO(), io.BytesIO()
    torch.save({"model": dict(list(state.items())[1:])}, other)
    torch.save({"model": {**state, "more": _Malicious(canary)}}, spoilt)
    before = published.read_bytes()
    for content in (
        pickle.dumps(_Malicious(canary)),
        spoilt.getvalue(),
        other.getvalue(),
        b"junk",
        place.model[:-100],
        b"",
    ):
        place.refused("PUT", "/model/segmentation", files={"file": ("m.pt", content)})
    assert published.read_bytes() == before
    assert place.ask("PUT", "/model/segmentation", files={"file": ("m.pt", place.model)}).status_code == 200
    published.write_bytes(pickle.dumps(_Malicious(canary)))  # by whoever may write there
    place.refused("POST", "/infer/segmentation?image=i01")
    published.write_bytes(place.model)
    assert place.ask("POST", "/infer/segmentation?image=i01").status_code == 200


def test_no_traceback_in_the_log(place: Place) -> None:
    log = place.server.log.read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") :][:3000]

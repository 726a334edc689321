"""The real server, as a lab engineer starts it, on copies of real images."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from PIL import Image

from tests.support.orthanc import Orthanc
from xssr_strategy.demo.annotator import RestAnnotator, mean_dice
from xssr_strategy.demo.server import Server, free_port

CHECKOUT = Path(__file__).parents[2]
APP = CHECKOUT / "apps" / "xssr"


def environment() -> dict[str, str]:
    """The environment of a shell in which the virtual environment is active."""
    bin_folder = Path(sys.executable).parent
    return {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(CHECKOUT),
    }


def start_server(
    studies: Path | str,
    conf: Mapping[str, object],
    log: Path,
    app: Path = APP,
    wait: float = 600,
    more: Mapping[str, str] | None = None,
) -> Server:
    """``monailabel start_server --app apps/xssr``, not yet entered; ``more`` is added to its environment."""
    command, port, surroundings = server_command(studies, conf, app)
    return Server(command, port, {**surroundings, **(more or {})}, log, wait)


def start_archive_server(archive: Orthanc, folder: Path, conf: Mapping[str, object], **environment: str) -> Server:
    """A server on an archive, whose files are all in this folder."""
    return start_server(archive.url, conf, folder / "server.log", more=archive_environment(folder, environment))


def archive_environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """What to add to the environment so that the cache and the workspace are in this folder."""
    own = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / "cache"), "XDG_DATA_HOME": str(folder / "data")}
    return {**own, **more}


def server_command(
    studies: Path | str, conf: Mapping[str, object], app: Path | None = None
) -> tuple[list[str], int, dict[str, str]]:
    """What starts a server, the port it will answer on, and its environment.

    Unless ``conf`` says otherwise trainings are supervised, which is the shortest: most tests are about the server.
    """
    port = free_port()
    command = ["monailabel", "start_server", "--app", str(app or APP), "--studies", str(studies)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    for key, value in {"training": "supervised", **conf}.items():
        command += ["--conf", key, str(value)]
    return command, port, environment()


def copy_pool(images: Path, ids: Sequence[str], studies: Path) -> Path:
    """The images of these ids, copied to ``studies``."""
    studies.mkdir(parents=True, exist_ok=True)
    wanted = set(ids)
    for path in sorted(images.iterdir()):
        if path.name.split(".")[0] in wanted:
            shutil.copy2(path, studies)
    return studies


def saved(label: sitk.Image, folder: Path, name: str = "label.nii.gz") -> Path:
    """A label as a file of this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(label, str(folder / name))
    return folder / name


def pixels(path: Path) -> np.ndarray:
    """Voxels of a NIfTI file or pixels of a PNG, as stored."""
    return np.asarray(Image.open(path) if path.suffix == ".png" else nib.load(path).dataobj)


@dataclass
class Outcome:
    """What a run found; seconds of each step by name."""

    picks: list[str] = field(default_factory=list)
    dice: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def report(self, title: str) -> str:
        """A few lines for people."""
        scores = np.array(list(self.dice.values()))
        steps = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items())
        return (
            f"{title}: {len(self.picks)} picks without a repeat; {steps}\n"
            f"{title}: mean Dice {scores.mean():.4f} on {len(scores)} unseen images "
            f"(deviation {scores.std():.4f}, worst {scores.min():.4f})"
        )


def annotate_train_segment(
    server: Server,
    labels: Mapping[str, Path],
    unseen: Mapping[Path, Path],
    rounds: int,
    training: Mapping[str, object],
    patience: float = 1800,
) -> Outcome:
    """Wait for the ranking, annotate ``rounds`` samples, train, segment the unseen images.

    Args:
        labels: id -> label file of the pool; a label is read only for an image that was handed out.
        unseen: image -> label of images outside the pool.
    """
    annotator = RestAnnotator(server.url)
    outcome = Outcome()

    begin = time.monotonic()
    annotator.wait_until_ready(patience)
    outcome.seconds["encoder and embedding"] = time.monotonic() - begin

    begin = time.monotonic()
    for rank in range(1, rounds + 1):
        answer = annotator.next_sample()
        assert answer["id"] not in outcome.picks, f"{answer['id']} was handed out twice"
        assert answer["rank"] == rank, answer
        assert answer["reason"].startswith(f"Pick {rank} of "), answer
        annotator.submit(answer["id"], labels[answer["id"]])
        outcome.picks.append(answer["id"])
    outcome.seconds["annotation"] = time.monotonic() - begin

    begin = time.monotonic()
    annotator.train(patience, **training)
    outcome.seconds["training"] = time.monotonic() - begin

    begin = time.monotonic()
    for image, truth in unseen.items():
        mask = annotator.segment(image)
        found, known = pixels(mask), pixels(truth)
        assert found.shape == pixels(image).shape, f"{image.name}: the mask has the shape {found.shape}"
        if mask.suffix == ".gz":
            np.testing.assert_allclose(nib.load(mask).affine, nib.load(image).affine, atol=1e-4)
        else:
            known = (known > 0).astype(np.uint8)
        outcome.dice[image.name] = mean_dice(found, known)
        mask.unlink()
    outcome.seconds["segmentation"] = time.monotonic() - begin
    return outcome


def command_line(title: str, run: Callable[[Path, int], Outcome], rounds: int, at_least: float) -> int:
    """``python -m``: one long run in a temporary folder; status 1 below the mean Dice asked for."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--rounds", type=int, default=rounds, help="images to annotate")
    parser.add_argument("--at-least", type=float, default=at_least, help="mean Dice below which the run fails")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), arguments.rounds)
    print(outcome.report(title))
    return int(np.mean(list(outcome.dice.values())) < arguments.at_least)

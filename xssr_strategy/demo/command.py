"""``xssr demo``."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from xssr_strategy.commands.outputs import make_folder
from xssr_strategy.commands.progress import StageProgress
from xssr_strategy.commands.serve import server_command
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.demo.phantoms import SCANNER_A, SCANNER_B, write_phantoms
from xssr_strategy.demo.picture import DemoResult, draw
from xssr_strategy.demo.play import Played, in_order, play
from xssr_strategy.demo.server import Server, free_port
from xssr_strategy.embedding.standardise import standardise
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore
from xssr_strategy.errors import UserError
from xssr_strategy.pool.ranking import read_ranking
from xssr_strategy.pool.workspace import server_workspace
from xssr_strategy.settings import Settings

ROUNDS = 6
# 24 of the 160 are of the minority type: enough to be a cluster for a density of 20 neighbours, while
# six random picks miss them all in 36 draws of 100. Half of the unseen cases are, to show what that costs.
_SOURCE, _POOL, _UNSEEN = 40, 160, 12  # phantoms
_MINORITY, _MINORITY_UNSEEN = 0.15, 0.5
_SEED = 2026
_ENCODER_STEPS = 150
_TRAINING = {"max_epochs": 3, "steps_per_epoch": 12, "pretrained": True}  # each round goes on from the one before


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("demo", help="the whole way on simulated scans, in minutes, with a picture at the end")
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="folder to write to; emptied first (default demo)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port of the server (default 8000, or a free one)")
    parser.add_argument("--exit", action="store_true", help="end when the picture is drawn; do not keep serving")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Make phantoms, start the server, annotate with XSSR and at random, draw, keep serving."""
    begin = time.monotonic()
    folder = _emptied(arguments.out)

    def say(text: str) -> None:
        console.print(f"[{time.monotonic() - begin:4.0f} s] {text}", highlight=False, markup=False, soft_wrap=True)

    say(f"Simulating {_SOURCE} scans of scanner A, {_POOL} of scanner B, {_UNSEEN} of B kept unseen; all in {folder}.")
    write_phantoms(folder / "source", None, _SOURCE, SCANNER_A, _MINORITY, _SEED)
    kinds = write_phantoms(folder / "studies", folder / "truth", _POOL, SCANNER_B, _MINORITY, _SEED + 1)
    unseen_images, unseen_labels = folder / "unseen" / "images", folder / "unseen" / "labels"
    unseen_kinds = write_phantoms(unseen_images, unseen_labels, _UNSEEN, SCANNER_B, _MINORITY_UNSEEN, _SEED + 2)
    unseen = {unseen_images / f"{name}.nii.gz": unseen_labels / f"{name}.nii.gz" for name in unseen_kinds}
    shutil.copytree(folder / "studies", folder / "random")

    conf = [["source", str(folder / "source")], ["labels", "organ"], ["preset", "mri"], ["budget", str(ROUNDS)]]
    conf += [["encoder_steps", str(_ENCODER_STEPS)]]
    with ExitStack() as stack:
        server = _started(stack, folder / "studies", conf, free_port(arguments.port), folder, {})
        say(f"The server answers at {server.url}; it trains the encoder and embeds the pool by itself.")
        # The comparison has a server of its own, which never scores: random picks need no embedding.
        other = _started(stack, folder / "random", conf, free_port(), folder, {"MONAI_LABEL_TASKS_SCORING": "false"})
        annotator = RestAnnotator(server.url, "demo")
        with StageProgress(console) as progress:
            annotator.wait_until_ready(600, lambda state: _show(state, progress))
        say(f"The pool is ranked. {ROUNDS} rounds with XSSR, and beside them {ROUNDS} with random picks:")
        drawn = np.random.default_rng(_SEED).permutation(sorted(kinds))[:ROUNDS].tolist()
        folders = (folder / "truth", unseen)
        with ThreadPoolExecutor(2) as pool:
            by_xssr = pool.submit(
                play, annotator, lambda number: annotator.next_sample("xssr"), ROUNDS, *folders, _TRAINING,
                lambda text: say(f"XSSR   {text}"),
            )  # fmt: skip
            by_chance = pool.submit(
                play, RestAnnotator(other.url, "demo"), in_order(drawn, f"Drawn with seed {_SEED}."), ROUNDS, *folders,
                _TRAINING, lambda text: say(f"random {text}"),
            )  # fmt: skip
            xssr, at_random = by_xssr.result(), by_chance.result()
        other.stop()
        picture = folder / "demo.png"
        draw(_result(folder / "studies", kinds, xssr, at_random), picture)
        found = {name: sum(kinds[image] == "minority" for image in arm.picks) for name, arm in _named(xssr, at_random)}
        say(
            f"After {ROUNDS} annotations: Dice {xssr.dice[-1]:.3f} with XSSR ({found['xssr']} of the minority type), "
            f"{at_random.dice[-1]:.3f} with random picks ({found['random']}). One draw each, half of the unseen scans "
            "of the minority type: an illustration, not a proof."
        )
        say(f"Picture: {picture}")
        if arguments.exit:
            return 0
        say(
            f"3D Slicer: module MONAI Label, server {server.url}, strategy xssr, Next Sample. "
            f"OHIF needs a DICOMweb archive: start `xssr serve --studies http://HOST/dicom-web` and open "
            f"{server.url}/ohif/. REST documentation: {server.url}/"
        )
        say("The server keeps running; Ctrl-C ends it.")
        server.wait()
    return 0


def _emptied(folder: Path) -> Path:
    """The folder, empty; one that holds anything but an earlier demo is left alone.

    Raises:
        UserError: there is such a thing, or the folder cannot be emptied or written.
    """
    marker = folder / ".xssr-demo"
    make_folder("--out", folder)
    if any(folder.iterdir()) and not marker.exists():
        raise UserError(f"--out {folder}: holds files that are not of a demo; name another folder.")
    try:
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        marker.touch()
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be emptied ({error.strerror}); name another folder.") from None
    return folder.resolve()


def _started(
    stack: ExitStack, studies: Path, conf: list[list[str]], port: int, folder: Path, environment: dict[str, str]
) -> Server:
    command, inherited = server_command(str(studies), conf, "127.0.0.1", str(port), [])
    log = folder / f"server-{studies.name}.log"
    return stack.enter_context(Server(command, port, {**os.environ, **inherited, **environment}, log))


def _show(state: dict[str, Any], progress: StageProgress) -> None:
    if state["state"] in ("waiting", "ready"):
        return
    done, total = (int(number) for number in state["progress"].split("/"))
    progress(state["state"], done, total)


def _named(xssr: Played, at_random: Played) -> tuple[tuple[str, Played], ...]:
    return (("xssr", xssr), ("random", at_random))


def _result(studies: Path, kinds: dict[str, Any], xssr: Played, at_random: Played) -> DemoResult:
    store = EmbeddingStore(server_workspace(studies, Settings()).store)
    ranking = read_ranking(store)
    assert ranking is not None
    images, vectors = store.vectors(TARGET, ranking.encoder)
    target, source = standardise(vectors, store.vectors(SOURCE, ranking.encoder)[1])
    assert source is not None
    arms = _named(xssr, at_random)
    return DemoResult(
        source=source,
        target=target,
        kinds=[kinds[image] for image in images],
        picks={name: [images.index(image) for image in arm.picks] for name, arm in arms},
        dice={name: list(arm.dice) for name, arm in arms},
        alpha=ranking.alpha,
        rounds=ROUNDS,
    )

r"""Contrastive and masked encoders beside each other: as what chooses images, and as the start of a network.

    python -m benchmarks.encoders choose simulations/encoders-choose
    python -m benchmarks.encoders start simulations/encoders-start --domains prostate-B,xray

Runs ``xssr simulate`` on 2-D domains, one after the other, and prints a table of what is there. Finished trainings are
not made again. ``choose``: XSSR on the vectors of each encoder, above random draws. ``start``: a U-Net that begins with
the weights of each, on random draws, above one that begins with none. Encoders that learn from labels need those of a
source, and slices without the organ.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import table
from benchmarks.simulate import add_options, names_among, simulate
from benchmarks.slices import main as make_slices
from xssr_strategy.simulation.results import read_experiment_info, read_results
from xssr_strategy.simulation.scores import Scores, by_method, gather
from xssr_strategy.simulation.statistics import compare

DATA = Path("../shared/data")
SLICES = Path("simulations/domains")
BUDGETS = "5,10,20"


@dataclass(frozen=True)
class Domains:
    """What is labelled, and what the encoder learns from.

    Attributes:
        target, labels: folder of pictures, and names of its labels.
        source: folder of another hospital's, or None for the pool itself.
    """

    target: Path
    labels: str
    source: Path | None = None


VOLUMES = {
    "prostate-B": (DATA / "prostate/B", "prostate", 12),
    "prostate-D": (DATA / "prostate/D", "prostate", 12),
    "left-atrium": (DATA / "left-atrium", "atrium", 12),
    "hippocampus": (DATA / "hippocampus", "anterior,posterior", 6),
}
"""Volumes whose slices become domains: folder, names of the labels, slices of each."""


def _slices(name: str) -> Path:
    return SLICES / f"{name}-slices"


_ACDC, _SUNNYBROOK, _XRAYS = DATA / "cardiac-acdc", DATA / "cardiac-sunnybrook", DATA / "cxr-lung"
DOMAINS = {
    **{name: Domains(_slices(name), labels) for name, (_, labels, _) in VOLUMES.items()},
    "prostate-B-to-D": Domains(_slices("prostate-D"), "prostate", _slices("prostate-B")),
    "ventricle-acdc": Domains(_ACDC, "ventricle"),
    "ventricle-sunnybrook": Domains(_SUNNYBROOK, "ventricle"),
    "ventricle-sunnybrook-to-acdc": Domains(_ACDC, "ventricle", _SUNNYBROOK),
    "xray": Domains(_XRAYS / "shenzhen", "lung"),
    "xray-montgomery-to-shenzhen": Domains(_XRAYS / "shenzhen", "lung", _XRAYS / "montgomery"),
}

ENCODERS = ("conv_mae", "poly_cl", "poly_cl_organ", "poly_cl_mixed")
STARTS = ("supervised", "poly_cl", "poly_cl:organ", "poly_cl:mixed", "conv_mae:scratch", "conv_mae")


def main(arguments: argparse.Namespace) -> None:
    """Run what is missing, then print."""
    rows: list[list[str]] = []
    compared = ENCODERS if arguments.of == "choose" else STARTS
    for name in arguments.domains:
        for volumes, (folder, labels, count) in VOLUMES.items():
            if (
                _slices(volumes) in (DOMAINS[name].target, DOMAINS[name].source)
                and not (_slices(volumes) / "patients.csv").exists()
            ):
                make_slices(folder, _slices(volumes), labels, count)
        rows += (_choose if arguments.of == "choose" else _start)(name, arguments)
    table(("domain", "labels", *compared), rows)


def _run(name: str, encoder: str, out: Path, arguments: argparse.Namespace, *more: str) -> bool:
    domains = DOMAINS[name]
    source = () if domains.source is None else ("--source", domains.source)
    named = ("--target", domains.target, "--labels", domains.labels, "--encoder", encoder)
    return simulate(arguments, *named, *source, *more, "--out", out)


def _scores(out: Path) -> dict[str, dict[tuple[str, int], Scores]]:
    """Method -> strategy and budget -> Dice."""
    facts, results = read_experiment_info(out), read_results(out)
    found = by_method(results, facts.methods)
    return {method: gather(some, "dice", facts.patients) for method, some in found.items()}


def _choose(name: str, arguments: argparse.Namespace) -> list[list[str]]:
    """A row for each number of labels, with a cell for each encoder."""
    cells: dict[int, dict[str, str]] = {}
    random: dict[int, Scores] = {}
    for encoder in ENCODERS if DOMAINS[name].source else ENCODERS[:2]:
        out = arguments.out / f"{name}-{encoder}"
        if _run(name, encoder, out, arguments, "--strategies", "xssr" if random else "xssr,random"):
            for (strategy, budget), scores in _scores(out)["supervised"].items():
                if strategy == "random":
                    random[budget] = scores
            for (strategy, budget), scores in _scores(out)["supervised"].items():
                if strategy == "xssr":
                    cells.setdefault(budget, {})[encoder] = _cell(scores, random[budget])
    return [
        [name, str(budget), *(found.get(encoder, "–") for encoder in ENCODERS)]
        for budget, found in sorted(cells.items())
    ]


def _start(name: str, arguments: argparse.Namespace) -> list[list[str]]:
    """As :func:`_choose`, for each way to begin."""
    methods = [method for method in STARTS if DOMAINS[name].source or ":" not in method or method.endswith("scratch")]
    out = arguments.out / name
    if not _run(name, "conv_mae", out, arguments, "--strategies", "random", "--training", ",".join(methods)):
        methods = [method for method in methods if ":" not in method or method.endswith("scratch")]
        if not _run(name, "conv_mae", out, arguments, "--strategies", "random", "--training", ",".join(methods)):
            return []
    found = _scores(out)
    return [
        [name, str(budget), *(_of(found, method, ("random", budget)) for method in STARTS)]
        for _, budget in sorted(found["supervised"])
    ]


def _of(found: dict[str, dict[tuple[str, int], Scores]], method: str, key: tuple[str, int]) -> str:
    """A method above the same network from drawn weights."""
    if key not in found.get(method, {}):
        return "–"
    scratch = "conv_mae:scratch" if method == "conv_mae" else "supervised"
    return _cell(found[method][key], None if method == "supervised" else found[scratch][key])


def _cell(scores: Scores, other: Scores | None) -> str:
    """Dice, and points above another with their interval."""
    gap = None if other is None else compare(scores, other, "")
    return f"{scores.mean:.3f}" + ("" if gap is None else " ({}, [{}, {}])".format(*gap.texts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("of", choices=("choose", "start"))
    parser.add_argument("--domains", type=names_among(DOMAINS), default=list(DOMAINS))
    add_options(parser, BUDGETS, steps=400, encoder_steps=400, seeds=2, draws=2, size=64)
    main(parser.parse_args())

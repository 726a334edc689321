r"""Where choosing matters: the rules beside a hundred random sets, on pools as labs have them.

    python -m benchmarks.pools development simulations/pools-development
    python -m benchmarks.pools final simulations/pools-final --figure docs/images/percentiles.svg

Writes a recipe for each pool, runs ``xssr simulate`` on it, and prints the percentile of every rule's sets among random
sets of the same size, and its points above their mean. ``development`` makes pool and test cases of the pools alone, to
choose rules on; ``final`` judges by the held-out cases and is for the end. Finished trainings are not made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.development import make as make_development
from benchmarks.follow_ups import make as make_follow_ups
from benchmarks.results import table
from benchmarks.simulate import add_options, names_among, simulate
from xssr_strategy.simulation.random_sets import WORST_SITE, SetRank, set_ranks
from xssr_strategy.simulation.results import read_experiment_info, read_results
from xssr_strategy.simulation.strategies import SOURCE_NETWORK, SOURCE_ONLY

DATA, DEVELOPMENT = Path("../shared/data"), Path("simulations/development")
FOLLOW_UPS = Path("simulations/follow-ups")
RULES = (
    "xssr",
    "xssr:per-patient",
    "xssr:per-site",
    "xssr:source-network",
    "kmeans",
    "typiclust",
    "coreset",
    "facility-location",
    "graph-coverage",
    "cold_start",
)


@dataclass(frozen=True)
class Pool:
    """A pool and where the encoder learns.

    Attributes:
        labels: names of the labels.
        parts: folder below the data -> what a recipe says of it.
        source: folder of another hospital's, or None for the pool itself.
        sites, patients: whether there are several sites, and several images of a patient.
        follow_ups: whether a third of the pool comes again, taken anew.
        test: folder of the domain that judges, or None for the pool's own test cases.
        options: more of ``xssr simulate``.
    """

    labels: str
    parts: Mapping[str, str]
    source: str | None = None
    sites: bool = False
    patients: bool = False
    follow_ups: bool = False
    test: str | None = None
    options: tuple[str, ...] = ()

    @property
    def rules(self) -> list[str]:
        """Those that make a difference."""
        without = {
            "xssr:per-site": not self.sites,
            "xssr:per-patient": not self.patients,
            SOURCE_NETWORK: self.source is None,
        }
        return [rule for rule in RULES if not without.get(rule, False)]


_XRAYS = ("cxr-lung/shenzhen", "cxr-lung/montgomery", "cxr-jsrt")
POOLS = {
    "three hospitals with one of 5 %": Pool(
        "lung", {_XRAYS[0]: "images = 150", _XRAYS[1]: "", _XRAYS[2]: "share = 0.05"}, sites=True
    ),
    "5 % with an endorectal coil": Pool(
        "prostate", {"prostate-slices/B": "", "prostate-slices/D": "share = 0.05"}, sites=True, patients=True
    ),
    "a third comes twice": Pool("lung", {_XRAYS[0]: "images = 150\nrepeats = 0.33"}, patients=True),
    "a third has a follow-up": Pool("lung", {_XRAYS[0]: ""}, patients=True, follow_ups=True),
    "slices of B": Pool("prostate", {"prostate-slices/B": ""}, patients=True),
    "slices of D": Pool("prostate", {"prostate-slices/D": ""}, patients=True),
    "slices of ACDC": Pool("ventricle", {"cardiac-acdc": ""}, patients=True),
    "slices of Sunnybrook": Pool("ventricle", {"cardiac-sunnybrook": ""}, patients=True),
    "B to D": Pool("prostate", {"prostate-slices/D": ""}, "prostate-slices/B", patients=True),
    "D to B": Pool("prostate", {"prostate-slices/B": ""}, "prostate-slices/D", patients=True),
    "ACDC to Sunnybrook": Pool("ventricle", {"cardiac-sunnybrook": ""}, "cardiac-acdc", patients=True),
    "Sunnybrook to ACDC": Pool("ventricle", {"cardiac-acdc": ""}, "cardiac-sunnybrook", patients=True),
    "JSRT to Shenzhen": Pool("lung", {_XRAYS[0]: ""}, _XRAYS[2]),
    "Shenzhen to JSRT": Pool("lung", {_XRAYS[2]: ""}, _XRAYS[0]),
    "T1 heads to other contrasts": Pool(
        "brain", {"brain-ixi": ""}, test="brain-openms", options=("--spacing", "5")
    ),  # volumes: with 100 draws 3 hours
}


def main(arguments: argparse.Namespace) -> None:
    """Run what is missing, then print and draw."""
    found: dict[str, list[SetRank]] = {}
    for name in arguments.pools:
        out = arguments.out / name.replace(" ", "-").replace(",", "").replace("%", "percent")
        if _run(POOLS[name], out, arguments):
            found[name] = set_ranks(read_experiment_info(out / "results"), read_results(out / "results"))
    for part in ("", WORST_SITE):
        rows = [row for name, ranks in found.items() for row in _rows(name, ranks, part)]
        if rows:
            print(f"Percentile among random sets (points above their mean), {part or 'all test cases'}:\n")
            table(("pool", "labels", "random: worst to best", *RULES), rows)
    if arguments.figure and found:
        arguments.figure.parent.mkdir(parents=True, exist_ok=True)
        _draw(found, arguments.figure)
    if missing := [name for name in arguments.pools if name not in found]:
        raise SystemExit(f"not run to the end: {'; '.join(missing)}")


def _run(pool: Pool, out: Path, arguments: argparse.Namespace) -> bool:
    folders = {folder: _folder(folder, arguments.of) for folder in pool.parts}
    if pool.follow_ups:
        folders = {folder: _with_follow_ups(path, arguments.of) for folder, path in folders.items()}
    out.mkdir(parents=True, exist_ok=True)
    recipe = out / f"{out.name}.toml"  # the report is called by its name
    recipe.write_text(
        "".join(f'[[part]]\nfolder = "{folders[folder]}"\n{more}\n' for folder, more in pool.parts.items())
    )
    source = () if pool.source is None else ("--source", _folder(pool.source, arguments.of))
    asked = [] if pool.source is None else [SOURCE_ONLY]
    strategies = ",".join([*pool.rules, "random", *asked])
    named = ("--pool-from", recipe, "--labels", pool.labels, "--strategies", strategies)
    judge = (
        ("--test", DATA / pool.test) if pool.test and arguments.of == "final" else ()
    )  # there all images are test cases
    return simulate(arguments, *named, *source, *judge, *pool.options, "--out", out / "results")


def _with_follow_ups(folder: Path, of: str) -> Path:
    """The same domain with follow-ups, made if it is not there."""
    out = FOLLOW_UPS / of / folder.name
    if not (out / "kinds.csv").exists():  # the last that is written
        make_follow_ups(folder, out)
    return out.resolve()


def _folder(name: str, of: str) -> Path:
    """Of a domain, or of what development may look at of it."""
    if of == "final":
        return (DATA / name).resolve()
    folder = DEVELOPMENT / name.replace("cxr-lung/", "").replace("/", "-")
    if not (folder / "patients.csv").exists():
        make_development(DATA / name, folder)
    return folder.resolve()


def _rows(name: str, ranks: Sequence[SetRank], part: str) -> list[list[str]]:
    rows = []
    for budget in sorted({one.budget for one in ranks}):
        some = {one.strategy: one for one in ranks if (one.budget, one.part) == (budget, part)}
        if some:
            any_one = next(iter(some.values()))
            cells = [
                f"{some[rule].percentile:.0f} ({100 * (some[rule].dice - some[rule].random):+.1f})"
                if rule in some
                else "–"
                for rule in RULES
            ]
            rows.append([name, str(budget), f"{any_one.worst:.3f} to {any_one.best:.3f}", *cells])
    return rows


def _draw(found: Mapping[str, Sequence[SetRank]], file: Path) -> None:
    """A row for each pool, a mark for each rule at its mean percentile over the budgets."""
    figure = Figure(figsize=(7.1, 1.2 + 0.32 * len(found)), layout="constrained")
    axes = figure.subplots()
    for number, rule in enumerate(RULES):
        places = [
            (float(np.mean(values)), row)
            for row, ranks in enumerate(found.values())
            if (values := [one.percentile for one in ranks if (one.strategy, one.part) == (rule, "")])
        ]
        if places:
            axes.plot(*zip(*places, strict=True), "os^<DvP*Xh"[number], label=rule, markersize=7, alpha=0.8)
    axes.axvline(50, color="#595959", linewidth=0.8)
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(-2, 102)
    axes.set_xlabel("per cent of random sets that are worse")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("of", choices=("development", "final"))
    parser.add_argument("--pools", type=names_among(POOLS), default=list(POOLS))
    parser.add_argument("--figure", type=Path)
    add_options(parser, "6,12", steps=300, encoder_steps=800, seeds=1, draws=100, size=64)
    main(parser.parse_args())

r"""Which labels of a source help a target: those that XSSR chooses for it, above random ones.

    python -m benchmarks.source_labels simulations/source-labels
    python -m benchmarks.source_labels simulations/source-labels --domains prostate-B-to-D --counts 5 --seeds 2

No label of the target. A seed has random labels of its own and the same of XSSR's, so that the spread is over random
sets. Runs ``xssr simulate`` on each pair of domains and number of labels, one after the other, and prints a table of
what is there. Finished trainings are not made again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.results import table
from benchmarks.simulate import add_options, names_among, simulate
from xssr_strategy.simulation.results import read_experiment_info, read_results
from xssr_strategy.simulation.scores import by_method, gather
from xssr_strategy.simulation.statistics import compare
from xssr_strategy.simulation.strategies import SOURCE_ONLY, SOURCE_XSSR

DATA = Path("../shared/data")
DOMAINS = {
    "prostate-B-to-D": ("prostate-slices/B", "prostate-slices/D", "prostate"),
    "prostate-D-to-B": ("prostate-slices/D", "prostate-slices/B", "prostate"),
    "ventricle-acdc-to-sunnybrook": ("cardiac-acdc", "cardiac-sunnybrook", "ventricle"),
    "ventricle-sunnybrook-to-acdc": ("cardiac-sunnybrook", "cardiac-acdc", "ventricle"),
    "xray-jsrt-to-shenzhen": ("cxr-jsrt", "cxr-lung/shenzhen", "lung"),
    "xray-shenzhen-to-jsrt": ("cxr-lung/shenzhen", "cxr-jsrt", "lung"),
}
"""Source, target, name of the label."""


def main(arguments: argparse.Namespace) -> None:
    """Run what is missing, then print."""
    methods = arguments.training.split(",")
    rows = []
    for name in arguments.domains:
        source, target, labels = DOMAINS[name]
        for count in arguments.counts:
            out = arguments.out / f"{name}-{count}"
            named = ("--source", DATA / source, "--target", DATA / target, "--labels", labels)
            chosen = ("--strategies", f"{SOURCE_ONLY},{SOURCE_XSSR}", "--from-labels", str(count))
            if simulate(arguments, *named, *chosen, "--training", arguments.training, "--out", out):
                rows.append([name, str(count), *(cell for method in methods for cell in _cells(out, method))])
    table(("domains", "labels", *(f"{method}: {what}" for method in methods for what in ("random", "XSSR's"))), rows)


def _cells(out: Path, method: str) -> tuple[str, str]:
    """Dice of random labels; that of XSSR's, and points above."""
    facts, results = read_experiment_info(out), read_results(out)
    scores = gather(by_method(results, facts.methods)[method], "dice", facts.patients)
    random, chosen = scores[SOURCE_ONLY, 0], scores[SOURCE_XSSR, 0]
    gap = compare(chosen, random, "")
    return f"{random.mean:.3f}", f"{chosen.mean:.3f}" + ("" if gap is None else " ({}, [{}, {}])".format(*gap.texts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domains", type=names_among(DOMAINS), default=list(DOMAINS))
    parser.add_argument("--counts", type=lambda text: [int(word) for word in text.split(",")], default=[5, 20])
    parser.add_argument("--training", default="supervised,ust_run")
    add_options(parser, "1", steps=400, encoder_steps=400, seeds=5, draws=1, size=64)
    main(parser.parse_args())

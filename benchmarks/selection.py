"""The speed of the selectors beside scikit-activeml's on the same vectors, and how their cost grows.

``python -m benchmarks.selection`` (``make bench-selection``); a few minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from skactiveml.pool import CoreSet as PeerCoreSet
from skactiveml.pool import ProbCover as PeerProbCover
from threadpoolctl import threadpool_limits

from benchmarks.bound import Bound, show
from xssr_strategy.pool.ranking import RankedImage, Ranking, reason
from xssr_strategy.selection import XSSR, ColdStart, CoreSet, Rule
from xssr_strategy.selection.clusters import clusters_by_silhouette
from xssr_strategy.selection.reduction import t_sne

_THREADS = 2
_REPEATS = 9
_LARGE = 100_000


def run() -> list[Bound]:
    return [*_beside_peers(), *_hard_vectors(), _calibration(), _next_pick(), _cold_start(), *_large_pool()]


def vectors(size: int, dimensions: int, source: int = 500) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors in 30 groups, as embeddings are; the source lies in five of them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(30, dimensions))

    def drawn(count: int, groups: int) -> NDArray[np.float32]:
        points = 0.7 * rng.normal(size=(count, dimensions)) + centres[rng.integers(0, groups, count)]
        unit: NDArray[np.float32] = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
        return unit

    return drawn(size, 30), drawn(source, 5)


def seconds(*work: Callable[[], object], repeats: int = _REPEATS) -> list[float]:
    """Median seconds of each piece of work, in turn; each measured call follows an unmeasured one of the same."""
    times: list[list[float]] = [[] for _ in work]
    for _ in range(repeats):
        for piece, taken in zip(work, times, strict=True):
            piece()
            begin = time.perf_counter()
            piece()
            taken.append(time.perf_counter() - begin)
    return [float(np.median(taken)) for taken in times]


def _beside_peers() -> list[Bound]:
    target, source = vectors(5000, 256)
    unlabelled = np.full(len(target), np.nan)
    # Both of theirs draw among ties; ProbCover keeps its radius between calls, so each call gets a new one.
    core_set, peer, xssr, prob_cover = seconds(
        lambda: CoreSet().select(target, 250),
        lambda: PeerCoreSet(random_state=0).query(target, unlabelled, batch_size=250),
        lambda: XSSR().select(target, 250, source),
        lambda: PeerProbCover(random_state=0).query(target, unlabelled, batch_size=250),
    )
    size = "N 5,000, D 256, B 250"
    return [
        Bound(
            f"CoreSet, {size}: scikit-activeml's / ours",
            f"{peer / core_set:.1f} ({peer * 1e3:.0f} against {core_set * 1e3:.1f} ms)",
            "at least 20",
            peer >= 20 * core_set,
        ),
        Bound(
            f"XSSR with density and 10 alphas, {size}: scikit-activeml's CoreSet / ours",
            f"{peer / xssr:.2f} ({peer * 1e3:.0f} against {xssr * 1e3:.0f} ms)",
            "at least 1",
            peer >= xssr,
        ),
        Bound(
            f"XSSR with density and 10 alphas, {size}: scikit-activeml's ProbCover / ours",
            f"{prob_cover / xssr:.1f} ({prob_cover * 1e3:.0f} against {xssr * 1e3:.0f} ms)",
            "at least 10",
            prob_cover >= 10 * xssr,
        ),
    ]


def _calibration() -> Bound:
    target, source = vectors(10_000, 256)
    calibrated, fixed = seconds(
        lambda: XSSR().select(target, 500, source), lambda: XSSR(alpha=0.2).select(target, 500, source)
    )
    return Bound(
        "XSSR, N 10,000, D 256, B 500: calibrated / one fixed alpha",
        f"{calibrated / fixed:.2f} ({calibrated:.2f} against {fixed:.2f} s)",
        "at most 1.5",
        calibrated <= 1.5 * fixed,
    )


def _next_pick() -> Bound:
    target, source = vectors(_LARGE, 256)
    rng = np.random.default_rng(1)
    # The terms are known beforehand, as on the server; what they are does not change the work.
    rule = Rule(rng.random(_LARGE), rng.random(_LARGE), diversity=True, combination="product")
    state = XSSR(alpha=0.2).begin(target, source, rule=rule)
    ranking = Ranking("", "", (), frozenset(), _LARGE, 22, True, 0.2, (), (), None, "")

    def after_a_label() -> str:
        candidate = state.find()
        assert candidate is not None
        state.take(candidate.index)
        pick = state.find()
        assert pick is not None
        return reason(RankedImage("", 2, pick.score, pick.density, pick.novelty, pick.diversity), ranking)

    def asked_twice() -> object:
        return state.find()

    both, find, bare = seconds(after_a_label, asked_twice, lambda: target @ target[0], repeats=15)
    label = both - find  # the first of the two questions is not part of the work
    return Bound(
        "next pick after a label, N 100,000, D 256: state / bare X @ v",
        f"{label / bare:.2f} ({label * 1e3:.1f} against {bare * 1e3:.1f} ms)",
        "at most 2",
        label <= 2 * bare,
    )


def _hard_vectors() -> list[Bound]:
    """Where float32 cannot tell vectors apart, float64 has to, and that may cost a little."""
    plain = np.random.default_rng(8).normal(size=(2000, 64))
    outlier, groups = plain.copy(), np.repeat(plain[:3], 700, axis=0)[:2000] + 1e-6 * plain
    outlier[0] *= 1e5
    bounds = []
    for name, selector in (("CoreSet", CoreSet()), ("XSSR, alpha 0", XSSR(0.0))):
        usual, *hard = seconds(*(lambda t=target, s=selector: s.select(t, 60) for target in (plain, outlier, groups)))
        for kind, taken in zip(("an outlier", "tight groups"), hard, strict=True):
            title = f"{name}, N 2,000, D 64, B 60: {kind} / plain vectors"
            found = f"{taken / usual:.1f} ({taken * 1e3:.0f} against {usual * 1e3:.0f} ms)"
            bounds.append(Bound(title, found, "at most 20, or a second", taken <= max(20 * usual, 1.0)))
    return bounds


def _cold_start() -> Bound:
    """The whole once; then its two long steps, to say where the time goes."""
    target, _ = vectors(10_000, 256)
    began = time.perf_counter()
    selection = ColdStart().select(target, 50)
    whole = time.perf_counter() - began
    began = time.perf_counter()
    plane = t_sne(target.astype(np.float64))
    reduced = time.perf_counter() - began
    clusters, _ = clusters_by_silhouette(plane, 50, 0)
    clustered = time.perf_counter() - began - reduced
    assert selection.clusters is not None
    assert len(clusters) == len(np.unique(selection.clusters))
    return Bound(
        "cold start, N 10,000, D 256, B 50",
        f"{whole:.0f} s (t-SNE {reduced:.0f}, clusters and silhouettes {clustered:.0f})",
        "under 180 s",
        whole < 180,
    )


def _large_pool() -> list[Bound]:
    """A full run in a process of its own, whose peak memory is then its own too."""
    program = f"""
import json, time, psutil
from benchmarks.selection import limit_threads, vectors
from xssr_strategy.selection import XSSR
limit_threads()
small, source = vectors(1000, 256)
XSSR().select(small, 5, source)
target, source = vectors({_LARGE}, 256)
before = psutil.Process().memory_info().rss - target.nbytes
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
begin = time.perf_counter()
selection = XSSR().select(target, 500, source)
seconds = time.perf_counter() - begin
peak = int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024
print(json.dumps([seconds, (peak - before) / target.nbytes, len(set(selection.indices.tolist()))]))
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True).stdout
    duration, memory, picks = json.loads(output)
    assert picks == 500
    size = "N 100,000, D 256, B 500, calibrated"
    return [
        Bound(f"full XSSR, {size}", f"{duration:.0f} s", "under 180 s", duration < 180),
        Bound(f"full XSSR, {size}: peak memory / input", f"{memory:.2f}", "below 3", memory < 3),
    ]


def growth() -> Table:
    """Fitted exponents of the cost in N, D and B; each over four sizes around N 8,000, D 256, B 200."""
    table = Table(title="Cost grows as the size to the power of", title_justify="left")
    for column in ("selector", "N 4,000-32,000", "D 64-512", "B 50-400"):
        table.add_column(column, justify="left" if column == "selector" else "right")
    base = {"N": 8000, "D": 256, "B": 200}
    ranges = {"N": (4000, 8000, 16000, 32000), "D": (64, 128, 256, 512), "B": (50, 100, 200, 400)}
    selectors = {"CoreSet": CoreSet(), "XSSR, calibrated": XSSR(), "XSSR, fixed alpha": XSSR(alpha=0.2)}
    for name, selector in selectors.items():
        exponents = []
        for key, sizes in ranges.items():
            times = []
            for size in sizes:
                at = {**base, key: size}
                target, source = vectors(at["N"], at["D"])
                times += seconds(lambda s=selector, t=target, b=at["B"], o=source: s.select(t, b, o), repeats=3)
            exponents.append(float(np.polyfit(np.log(sizes), np.log(times), 1)[0]))
        table.add_row(name, *(f"{exponent:.2f}" for exponent in exponents))
    return table


def limit_threads() -> None:
    """Two threads for every library, here and in the peers."""
    torch.set_num_threads(_THREADS)
    threadpool_limits(_THREADS)


def main() -> int:
    limit_threads()
    warnings.filterwarnings("ignore", module="skactiveml")
    console = Console(width=140)
    bounds = run()
    show(bounds, console)
    console.print(growth())
    return int(not all(bound.kept for bound in bounds))


if __name__ == "__main__":
    sys.exit(main())

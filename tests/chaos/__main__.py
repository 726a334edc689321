"""``make chaos``: faults against the real server, and one table of what was lost. Status 1 if anything was."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.chaos.disk import DiskFaults
from tests.chaos.kill_annotating import AnnotatingKills
from tests.chaos.kill_scoring import ScoringKills
from tests.chaos.load import Load
from tests.chaos.long_run import LongRun
from tests.chaos.pool import make_pool
from tests.chaos.table import Row, table
from tests.support.warm import Kiln

PARTS = ("load", "long", "disk", "kill")
_SCORING_SHARE = 0.35  # of the kills: these take longer


def kill(kiln: Kiln, folder: Path, kills: int, seed: int, images: int = 120) -> list[Row]:
    """Both kinds of kills side by side, each with a server of its own; at least ``kills`` in all."""
    pool = make_pool(kiln, folder, images)
    of_scoring = round(kills * _SCORING_SHARE)
    runs: list[Callable[[], Row]] = [
        lambda: ScoringKills(kiln, pool, _new(folder / "scoring"), seed).run(of_scoring),
        lambda: AnnotatingKills(kiln, pool, _new(folder / "annotating"), seed).run(kills - of_scoring),
    ]
    rows: list[Row] = []
    threads = [threading.Thread(target=lambda run=run: rows.append(run())) for run in runs]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(rows) < len(runs):
        raise RuntimeError("a run of kills did not come to its end; see above")
    return rows


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this; may be given several times")
    parser.add_argument("--kills", type=int, default=104, help="SIGKILLs (%(default)s)")
    parser.add_argument("--rounds", type=int, default=500, help="scoring rounds of the long run (%(default)s)")
    parser.add_argument("--images", type=int, default=5000, help="images under load (%(default)s)")
    parser.add_argument("--clients", type=int, default=50, help="clients of the load (%(default)s)")
    parser.add_argument("--seconds", type=float, default=120, help="of load (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of every random moment (%(default)s)")
    told = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="xssr-chaos-") as name, Kiln() as kiln:
        root = Path(name)
        parts: dict[str, Callable[[Path], list[Row]]] = {
            "load": lambda folder: [Load(kiln, folder, told.images, told.clients, told.seconds).run()],
            "long": lambda folder: [LongRun(kiln, folder, told.rounds).run()],
            "disk": lambda folder: DiskFaults(kiln, folder).run(),
            "kill": lambda folder: kill(kiln, folder, told.kills, told.seed),
        }
        for part in told.part or PARTS:
            begin = time.monotonic()
            try:
                found = parts[part](_new(root / part))
            except Exception as error:
                traceback.print_exc()
                found = [Row(part, 1, (f"did not come to its end: {error!r}",))]
            print(table(found), f"\n{part}: {time.monotonic() - begin:.0f} s\n", file=sys.stderr, flush=True)
            rows += found
    print(table(rows))
    return int(any(row.lost for row in rows))


if __name__ == "__main__":
    sys.exit(main())

"""What each model said of each image, in SQLite: written by the scoring process while the server reads.

The files are apart from the embedding store, so that a value does not count as a change of that.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import ClassVar, Generic, TypeVar

from xssr_strategy.images.versions import kept_as
from xssr_strategy.storage.database import open_database, transaction

Value = TypeVar("Value")


@dataclass(frozen=True)
class ImageScore(Generic[Value]):
    """One image as a model saw it.

    Attributes:
        image: its id.
        fingerprint: of the file that was read, with the version of the reading (``versions.kept_as``).
        value: what the model said, or None if the image could not be read.
    """

    image: str
    fingerprint: str
    value: Value | None


class ScoreStore(ABC, Generic[Value]):
    """What models said of the images of one pool.

    Args:
        path: the database file; made with its folder where missing.

    Raises:
        UserError: the file is not such a database, or was written by another version.
    """

    kind: ClassVar[str]
    table: ClassVar[str]
    column: ClassVar[str]
    """Its name and type."""

    _VERSION = 1

    rule: ClassVar[str] = ""
    """What tells apart values that the same model gives by another rule: those of an earlier version do not count."""

    def __init__(self, path: Path) -> None:
        self.path = path
        schema = f"""
            CREATE TABLE IF NOT EXISTS {self.table} (
                model TEXT NOT NULL, image TEXT NOT NULL, fingerprint TEXT NOT NULL, {self.column},
                written INTEGER NOT NULL, PRIMARY KEY (model, image)
            );
            CREATE TABLE IF NOT EXISTS wanted (strategy TEXT PRIMARY KEY);
        """
        self._db = open_database(path, schema, self._VERSION, self.kind, "the images are scored again")

    @abstractmethod
    def _kept(self, value: Value) -> float | str:
        """A value as the column holds it."""

    @abstractmethod
    def _read(self, kept: float | str) -> Value:
        """The value of what the column holds."""

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def version(self) -> tuple[int, int]:
        """A number pair that changes whenever anybody writes: what was read before can be kept till then."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0]), self._db.total_changes

    def put(self, model: str, scored: Iterable[ImageScore[Value]]) -> None:
        """Write a batch; a value of the same model and image is replaced."""
        query = (
            f"INSERT OR REPLACE INTO {self.table} VALUES "  # noqa: S608 - a name of this module
            f"(?, ?, ?, ?, (SELECT 1 + coalesce(max(written), 0) FROM {self.table}))"
        )
        key = model + self.rule
        rows = [
            (key, one.image, one.fingerprint, None if one.value is None else self._kept(one.value)) for one in scored
        ]
        with transaction(self._db):
            self._db.executemany(query, rows)

    def fingerprints(self, model: str) -> dict[str, str]:
        """image -> fingerprint of everything that a model has seen, read or not."""
        query = f"SELECT image, fingerprint FROM {self.table} WHERE model = ?"  # noqa: S608
        return dict(self._db.execute(query, (model + self.rule,)).fetchall())

    def seen(self, model: str) -> set[str]:
        """Every image that a model has seen as it is read now, or could not read."""
        query = f"SELECT image FROM {self.table} WHERE model = ? AND fingerprint LIKE ?"  # noqa: S608
        return {row[0] for row in self._db.execute(query, (model + self.rule, kept_as("%")))}

    def confirm(self, model: str, states: Mapping[str, str]) -> None:
        """Keep what a model said of these images, under another fingerprint each."""
        query = f"UPDATE {self.table} SET fingerprint = ? WHERE model = ? AND image = ?"  # noqa: S608
        with transaction(self._db):
            self._db.executemany(query, [(state, model + self.rule, image) for image, state in states.items()])

    def values(self, model: str) -> dict[str, Value]:
        """image -> value of every image that a model could read."""
        column = self.column.split()[0]
        query = f"SELECT image, {column} FROM {self.table} WHERE model = ? AND {column} IS NOT NULL"  # noqa: S608
        return {image: self._read(kept) for image, kept in self._db.execute(query, (model + self.rule,))}

    def asked(self) -> str | None:
        """The model that has seen most images, or None: the one before, until the new one has been through."""
        query = (
            f"SELECT model FROM {self.table} WHERE model LIKE '%' || ? "  # noqa: S608
            "GROUP BY model ORDER BY count(*) DESC, max(written) DESC LIMIT 1"
        )
        row = self._db.execute(query, (self.rule,)).fetchone()
        return None if row is None else str(row[0]).removesuffix(self.rule)

    def values_of_asked(self) -> dict[str, Value]:
        """What that model said; empty before any was asked."""
        model = self.asked()
        return {} if model is None else self.values(model)

    def forget_others(self, model: str) -> None:
        """Remove what all other models said."""
        self._db.execute(f"DELETE FROM {self.table} WHERE model != ?", (model + self.rule,))  # noqa: S608

    def want(self, strategy: str) -> None:
        """Remember that a strategy that needs the values was asked for: from then on they are kept up to date."""
        if strategy not in self.wanted():
            self._db.execute("INSERT OR IGNORE INTO wanted VALUES (?)", (strategy,))

    def wanted(self) -> frozenset[str]:
        """Strategies that were asked for."""
        return frozenset(row[0] for row in self._db.execute("SELECT strategy FROM wanted"))


class UncertaintyStore(ScoreStore[float]):
    """Mean predictive entropies in nats."""

    kind, table, column = "a store of entropies", "entropies", "entropy REAL"

    def _kept(self, value: float) -> float:
        return value

    def _read(self, kept: float | str) -> float:
        return float(kept)


class QualityStore(ScoreStore[Mapping[str, float]]):
    """Qualities of masks: name of each label of the model -> quality in [0, 1]."""

    kind, table, column = "a store of mask qualities", "qualities", "quality TEXT"
    rule = " with confidence"

    def _kept(self, value: Mapping[str, float]) -> str:
        return json.dumps(value)

    def _read(self, kept: float | str) -> Mapping[str, float]:
        found: dict[str, float] = json.loads(str(kept))
        return found

    def means(self) -> dict[str, float]:
        """image -> mean quality over the labels, by the model that :meth:`asked` names."""
        return {image: fmean(value.values()) for image, value in self.values_of_asked().items()}

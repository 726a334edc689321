"""Which images a datastore has and which of them are labelled, without a walk over all of them at each question."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Set
from typing import Protocol, runtime_checkable

from monailabel.datastore.local import ImageLabelModel
from monailabel.interfaces.datastore import Datastore

NO_IMAGES: frozenset[str] = frozenset()


@runtime_checkable
class KeepsSets(Protocol):
    """A datastore that keeps its sets from question to question: as long as nothing changes, they are the same objects.

    So whoever has found something out about a set can tell by ``is`` whether that still holds.
    """

    @property
    def images(self) -> frozenset[str]:
        """Ids of all images."""

    @property
    def labelled(self) -> frozenset[str]:
        """Ids of the images with a final label."""


def images_of(datastore: Datastore) -> frozenset[str]:
    """Ids of all images, of any datastore."""
    return datastore.images if isinstance(datastore, KeepsSets) else frozenset(datastore.list_images())


def labelled_of(datastore: Datastore) -> frozenset[str]:
    """Ids of the images with a final label, of any datastore."""
    return datastore.labelled if isinstance(datastore, KeepsSets) else frozenset(datastore.get_labeled_images())


class ImageSets:
    """The sets of a local datastore, by its index.

    They are found anew when the index has become another mapping. A label that is noted in the same mapping is told by
    :meth:`note`, which costs as much as there are labels.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: Mapping[str, ImageLabelModel] | None = None
        self._images = NO_IMAGES
        self._tagged: dict[str, frozenset[str]] = {}

    def images(self, objects: Mapping[str, ImageLabelModel]) -> frozenset[str]:
        """Ids of all images of an index."""
        with self._lock:
            self._find(objects)
            return self._images

    def tagged(self, objects: Mapping[str, ImageLabelModel]) -> Mapping[str, frozenset[str]]:
        """Tag -> ids of the images with a label of this tag."""
        with self._lock:
            self._find(objects)
            return dict(self._tagged)

    def note(self, objects: Mapping[str, ImageLabelModel], image: str) -> None:
        """The labels of an image are others than before."""
        with self._lock:
            if self._of is not objects:
                return
            tags = objects[image].labels
            for tag in {*self._tagged, *tags}:
                before = self._tagged.get(tag, NO_IMAGES)
                if (image in before) != (tag in tags):
                    self._tagged[tag] = before ^ {image}

    def _find(self, objects: Mapping[str, ImageLabelModel]) -> None:
        if self._of is objects:
            return
        tagged: dict[str, set[str]] = {}
        for image, entry in objects.items():
            for tag in entry.labels:
                tagged.setdefault(tag, set()).add(image)
        self._images = _same(self._images, objects.keys())
        self._tagged = {tag: _same(self._tagged.get(tag, NO_IMAGES), images) for tag, images in tagged.items()}
        self._of = objects


def _same(before: frozenset[str], now: Set[str]) -> frozenset[str]:
    """The set of before, if the one of now is equal."""
    return before if before == now else frozenset(now)

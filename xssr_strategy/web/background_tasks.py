"""Background tasks: what is asked of them is checked before they start, and one that cannot start says so."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import wraps
from types import SimpleNamespace
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.async_tasks import utils
from monailabel.utils.async_tasks.task import AsyncTask

from xssr_strategy.datastores.bodies import parse_body
from xssr_strategy.datastores.metadata import plain_name
from xssr_strategy.tasks.refinement_infer import RefinementInfer
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer
from xssr_strategy.tasks.segmentation_trainer import SegmentationTrainer
from xssr_strategy.web.bodies import BatchBody, check_task_body
from xssr_strategy.web.request_checks import patch_endpoint

logger = logging.getLogger(__name__)

_LARGEST = 100_000  # bytes of JSON; it becomes one argument of a command, which Linux takes up to 131,072 (our choice)
_KEPT = 100  # tasks of each kind that are listed; those of months would pile up (our choice)

_run, _status, _stop = AsyncTask.run, AsyncTask.status, AsyncTask.stop
_task_func, _popen = utils._task_func, utils.subprocess.Popen


def check_background_tasks() -> None:
    """From here on a background task ends, whatever goes wrong, and is told nothing that it must not know.

    In MONAI Label 0.8.5 a task whose process cannot be started stays SUBMITTED for ever; ``run_sync`` keeps everybody
    waiting for it; ``bundle_path`` names a folder from which the process imports Python; the lines that a process
    printed shortly before its end, such as the reason why it failed, may be lost; and what is told of a task is the
    task itself, so that the answer fails with status 500 where its thread adds to it at the same moment.
    """
    AsyncTask.run = staticmethod(_checked_run)
    AsyncTask.status = staticmethod(_status_now)
    AsyncTask.stop = staticmethod(lambda method: _as_it_is_now(_stop(method)))
    utils._task_func = _ended_task
    utils.subprocess = SimpleNamespace(
        Popen=lambda *command, **settings: _ReadToTheEnd(_popen(*command, **settings)),
        PIPE=utils.subprocess.PIPE,
        STDOUT=utils.subprocess.STDOUT,
    )
    for module in ("scoring", "train"):
        patch_endpoint(module, "run", _checked_settings)


class _ReadToTheEnd:
    """A process that has ended for MONAI Label only when all that it printed has been read.

    Args:
        process: a :class:`subprocess.Popen` with an output to read.
    """

    def __init__(self, process: Any) -> None:
        self._process, self._at_end = process, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)  # pid, returncode, kill

    @property
    def stdout(self) -> _ReadToTheEnd:
        return self

    def readline(self) -> str:
        line: str = self._process.stdout.readline()
        self._at_end = not line
        return line

    def close(self) -> None:
        self._process.stdout.close()

    def poll(self) -> int | None:
        code: int | None = self._process.poll() if self._at_end else None
        return code


def _checked_run(
    method: str, request: Any = None, params: Any = None, force_sync: bool = False, enqueue: bool = False
) -> Any:
    merged = {**(request or {}), **(params or {})}
    if force_sync:
        raise HTTPException(422, "run_sync: not offered, for everybody else would wait; ask GET for the state instead.")
    check_task_body(merged)
    _check_name(app_instance(), method, merged)
    size = len(json.dumps(merged))
    if size > _LARGEST:
        raise HTTPException(413, f"The request has {size} bytes; send {_LARGEST} at most.")
    task, why_not = _run(method, request, params, enqueue=enqueue)
    if task is None:
        why_not = (
            f"A {method} task runs already; wait until it has ended, or end it by DELETE /{method.replace('_', '/')}."
        )
    return _as_it_is_now(task), why_not


def _status_now(method: str, all: bool = False, check_if_running: bool = False) -> Any:  # noqa: A002  # its name there
    told, why_not = _status(method, all, check_if_running)
    return [_as_it_is_now(task) for task in list(told)] if isinstance(told, list) else _as_it_is_now(told), why_not


def _as_it_is_now(task: dict[str, Any] | None) -> dict[str, Any] | None:
    """A copy, which another thread does not change; each part is copied in one step of the interpreter."""
    if task is None:
        return None
    copies: dict[type, Callable[[Any], Any]] = {dict: dict, deque: list}
    return {key: copies.get(type(value), lambda same: same)(value) for key, value in dict(task).items()}


def _check_name(app: Any, method: str, request: Mapping[str, Any]) -> None:
    kind, known = {
        "scoring": ("scoring methods", app._scoring_methods),
        "train": ("trainers", app._trainers),
        "batch_infer": ("models", app._infers if app._batch_infer else {}),
    }[method]
    if not known:
        raise HTTPException(404, f"There are no {kind} here; MONAI_LABEL_TASKS_{method.upper()}=true switches them on.")
    name = request.get("method" if method == "scoring" else "model")
    if not isinstance(name, str) or name not in known:
        raise HTTPException(404, f"'{name}' does not exist; the {kind} are {', '.join(known)}.")
    if method == "train" and isinstance(known[name], SegmentationTrainer):
        known[name].checked(request)
    if method == "batch_infer":
        _check_batch(known[name], app.datastore(), request)


def _check_batch(task: Any, datastore: Datastore, request: Mapping[str, Any]) -> None:
    if isinstance(task, RefinementInfer):
        task = task.segmentation
    if not isinstance(task, SegmentationInfer):
        raise HTTPException(
            422, "model: what is drawn is propagated one image at a time; many are segmented by segmentation."
        )
    if not task.is_valid():
        raise HTTPException(422, f"{task.untrained[0].upper()}{task.untrained[1:]}.")
    body = parse_body(BatchBody, request)
    plain_name("label_tag", body.label_tag or "original")
    if isinstance(body.images, list) and not set(body.images) <= set(datastore.list_images()):
        raise HTTPException(422, "images: must be all, labeled, unlabeled, or a list of ids of images that exist.")


def _ended_task(task: dict[str, Any], method: str, callback: Callable[..., Any] | None = None) -> None:
    try:
        _task_func(task, method, callback)
    except Exception as error:  # the thread's pool would keep it to itself
        process = utils.processes(method).pop(task["id"], None)
        if process is not None:
            process.kill()
        sentence = f"The {method} task failed: {type(error).__name__}: {error}"
        logger.error("%s", sentence)
        task.update(status="ERROR", details=[sentence], end_ts=time.strftime("%Y-%m-%d %H:%M:%S"))
    listed = utils.tasks(method)
    while len(listed) > _KEPT and listed[0]["status"] not in ("SUBMITTED", "RUNNING"):
        del listed[0]


def _checked_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run(params: Mapping[str, Any] | None = None, run_sync: bool | None = False) -> Any:
        for name, settings in (params or {}).items():
            if settings and not isinstance(settings, dict):
                raise HTTPException(422, f"{name}: must be a JSON object, such as {{}}.")
        return function(params, run_sync)

    return run

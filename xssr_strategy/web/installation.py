"""Everything that this package puts around MONAI Label's routes, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from monailabel.interfaces.datastore import Datastore

from xssr_strategy.tasks.project import Project
from xssr_strategy.web.auth import accept_signed_tokens, remove_reload_route, require_admin_for_models
from xssr_strategy.web.background_tasks import check_background_tasks
from xssr_strategy.web.error_handlers import add_error_handlers, limit_archive_proxy
from xssr_strategy.web.inference import check_inference_requests
from xssr_strategy.web.inference_thread import infer_in_thread
from xssr_strategy.web.log_filters import filter_patient_data
from xssr_strategy.web.map_routes import add_map_routes
from xssr_strategy.web.model_upload import validate_uploaded_models
from xssr_strategy.web.next_sample import answer_next_samples
from xssr_strategy.web.request_checks import validate_requests


class ServedApp(Protocol):
    """What the routes need of an app."""

    project: Project
    studies: str
    datastore: Callable[[], Datastore]
    update_map: Callable[[], None]


def install(app: ServedApp) -> None:
    """Add this package's checks, answers and routes to MONAI Label's server.

    In a background process, which nobody asks, it changes nothing but background tasks and the log.

    Args:
        app: with its project and datastore.

    Raises:
        StartupError: a file of the workspace cannot be opened.
    """
    add_error_handlers()
    limit_archive_proxy()
    accept_signed_tokens()
    remove_reload_route()
    require_admin_for_models()
    filter_patient_data()
    answer_next_samples()
    check_inference_requests()
    infer_in_thread()
    check_background_tasks()
    validate_uploaded_models()
    validate_requests()  # the last is the first that a request meets
    add_map_routes(app.project, app.studies, app.datastore, app.update_map)

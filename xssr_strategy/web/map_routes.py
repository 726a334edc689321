"""The map of the pool in a browser, ``/xssr/map``: drawn from what the scoring process left, following the annotators.

The page itself holds no data: a browser that opens an address sends no token. What it then asks for needs MONAI Label's
user role, as MONAI Label's own routes do.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, Header, HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from monailabel.config import RBAC_USER, settings
from monailabel.endpoints.user.auth import RBAC
from monailabel.interfaces.datastore import Datastore

from xssr_strategy.embedding.store import SOURCE, TARGET
from xssr_strategy.errors import UserError
from xssr_strategy.pool_map.page import MANY, shell
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.startup import StartupError
from xssr_strategy.web.map_view import MapView

ROUTE = "/xssr/map"


def serve_map(
    project: Project, studies: str, datastore: Callable[[], Datastore], keep_up: Callable[[], None] = lambda: None
) -> None:
    """From here on the server shows the map of this project.

    Args:
        project: settings, workspace and state of the work.
        studies: its folder or URL.
        datastore: gives the server's datastore.
        keep_up: called whenever somebody looks, so that the map is made for those who do.

    Raises:
        StartupError: a file of the workspace cannot be opened.
    """
    module: Any = sys.modules.get("monailabel.app")
    if module is None:  # a background process is asked by nobody
        return
    try:
        view = MapView(project, studies)
    except UserError as error:
        raise StartupError(str(error)) from None

    async def page(if_none_match: Annotated[str, Header()] = "") -> Response:
        packed, tag = await run_in_threadpool(_packed, len(datastore().list_images()) > MANY)
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if if_none_match == tag:
            return Response(status_code=304, headers=headers)
        headers["Content-Encoding"] = "gzip"  # every browser takes it
        return Response(packed, headers=headers, media_type="text/html; charset=utf-8")

    # What the datastore and the project are asked is asked in the one thread in which MONAI Label asks them.
    async def data() -> Response:
        keep_up()
        return _answer(await run_in_threadpool(view.whole, view.look(datastore())))

    async def state(version: str = "") -> Response:
        keep_up()
        return _answer(await run_in_threadpool(view.since, view.look(datastore()), version))

    def thumbnail(image: str, domain: str = TARGET) -> Response:
        picture = view.picture(domain, image) if domain in (SOURCE, TARGET) else None
        if picture is None:
            raise HTTPException(
                404, f"image '{image}' has no picture yet or does not exist; name the id of an image of the pool."
            )
        return Response(picture, media_type="image/webp", headers={"Cache-Control": "private, max-age=600"})

    app, prefix = module.app, f"{settings.MONAI_LABEL_API_STR}{ROUTE}"
    app.router.routes[:] = [one for one in app.router.routes if not getattr(one, "path", "").startswith(prefix)]
    app.add_api_route(prefix, page, tags=["XSSR"], summary="Map of the pool: the page, without any data")
    guard: dict[str, Any] = {"tags": ["XSSR"], "dependencies": [Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))]}
    app.add_api_route(f"{prefix}/data", data, summary=f"{RBAC_USER}Map of the pool", **guard)
    app.add_api_route(f"{prefix}/state", state, summary=f"{RBAC_USER}What has changed on the map", **guard)
    app.add_api_route(f"{prefix}/thumbnail", thumbnail, summary=f"{RBAC_USER}Small picture of an image", **guard)
    app.openapi_schema = None


@cache
def _packed(many: bool) -> tuple[bytes, str]:
    """The page, packed, and a tag that names its content."""
    page = shell(many)
    return gzip.compress(page, 6, mtime=0), f'"{hashlib.sha256(page).hexdigest()[:16]}"'


def _answer(content: bytes) -> Response:
    return Response(content, headers={"Cache-Control": "no-store"}, media_type="application/json")

"""Access with a token, where MONAI Label 0.8.5 lets nobody in, or everybody."""

from __future__ import annotations

import sys
from typing import Any

import jwt
from monailabel.config import settings

# The key that verifies these cannot sign. Were HS256 allowed, the realm's public key would be the secret.
ALGORITHMS = ("RS256", "RS384", "RS512")


class _RealmTokens:
    """Stands for the module ``jwt`` in ``monailabel.endpoints.user.auth``, which uses nothing of it but ``decode``."""

    @staticmethod
    def decode(token: str, key: str, options: Any) -> dict[str, Any]:
        payload: dict[str, Any] = jwt.decode(token, key, algorithms=ALGORITHMS, options=options)
        fields = payload
        for name in settings.MONAI_LABEL_AUTH_TOKEN_ROLES.split("#")[:-1]:  # MONAI Label fails where one is missing
            fields = fields.setdefault(name, {})
        return payload


def accept_signed_tokens() -> None:
    """From here on tokens that the realm's RSA key has signed are accepted, if MONAI Label asks for any.

    With ``MONAI_LABEL_AUTH_ENABLE`` MONAI Label 0.8.5 answers 401 to every token: it names no algorithms to
    ``jwt.decode``, which PyJWT 2 requires. Signature, expiry and roles are checked as before.
    """
    auth: Any = sys.modules.get("monailabel.endpoints.user.auth")
    if auth is not None:  # a background process is asked by nobody
        auth.jwt = _RealmTokens


def require_admin_for_models() -> None:
    """From here on whoever replaces or deletes a network needs the admin's role.

    MONAI Label 0.8.5 says so in the summary of these routes, and asks for the annotator's.
    """
    model: Any = sys.modules.get("monailabel.endpoints.model")
    for route in model.router.routes if model is not None else ():
        for needed in route.dependant.dependencies:
            needed.call.roles = settings.MONAI_LABEL_AUTH_ROLE_ADMIN


def remove_reload_route() -> None:
    """From here on there is no ``POST /reload``.

    MONAI Label 0.8.5 answers it without a token, to any web page too, and makes a second app that sends its scoring
    requests to its own server, which waits for itself from then on.
    """
    module: Any = sys.modules.get("monailabel.app")
    if module is not None:
        routes = module.app.router.routes
        routes[:] = [route for route in routes if getattr(route, "path", None) != "/reload"]

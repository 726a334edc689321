"""Request bodies as pydantic models: what does not fit becomes one sentence that names the key and what it must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import HTTPException
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError


class Body(BaseModel):
    """What a client sends; keys that are none of the model's are no business of it.

    The ``description`` of each field says what its value must be.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


BodyT = TypeVar("BodyT", bound=Body)


def falsy_to_none(value: Any) -> Any:
    """Viewers send empty text, false or an empty list where they mean that there is nothing."""
    return value or None


Text = Annotated[str | None, BeforeValidator(falsy_to_none)]
"""Text, or nothing."""


def parse_body(model: type[BodyT], values: Any, where: str = "") -> BodyT:
    """The body that a client has sent.

    Args:
        model: of the body.
        values: as JSON gave them.
        where: name of the form field that holds the body, if it is one.

    Raises:
        HTTPException: it is no JSON object, or a value is not what its field says (422).
    """
    if not isinstance(values, Mapping):
        raise HTTPException(422, f"{where or 'body'}: must be a JSON object, such as {{}}.")
    try:
        return model.model_validate({key: values[key] for key in model.model_fields if key in values})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
    key = str(found["loc"][0]) if found["loc"] else ""
    own = found.get("ctx", {}).get("error")  # a validator of the model that has a sentence of its own
    said = str(own) if isinstance(own, ValueError) else f"must be {model.model_fields[key].description}"
    raise HTTPException(422, f"{where}: {key} {said}." if where else f"{key}: {said}.")

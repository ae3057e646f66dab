"""Define typed settings: their base class, and a setting's types and metadata.

The models of settings are the single source of the configuration: the editor's schema, the checks,
the defaults and the canonical form behind keys all come from them. They decide nothing by
themselves; a stage receives the values.

Two kinds of metadata travel with a setting, both given to `setting()`:

- `component`: the folder whose files are the setting's possible values (see `components`).
- `omit_when`: for a setting added later, the value that means "as before it existed". The canonical
  form omits a setting at this value, so adding an option changes no key.
"""

import re
from itertools import dropwhile
from pathlib import PurePosixPath
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from variorum.base import components

MOST_SEED = 2**63 - 1


def setting(
    default: Any = ...,
    explanation: str = "",
    *,
    unit: str | None = None,
    component: str | None = None,
    omit_when: Any = ...,
    **bounds: Any,
) -> Any:
    """Build a field of a settings model: explanation, unit and range."""
    extra: dict[str, Any] = {}
    if unit:
        extra["unit"] = unit
    if component:
        extra["component"] = component
    if omit_when is not ...:
        extra["omit_when"] = omit_when
    return Field(default, description=explanation, json_schema_extra=extra, **bounds)


def _number(value: Any) -> Any:
    """Return a number that was spelled in YAML 1.1.

    `1e-5` and `1e-05` arrive as text from some tools. Whole ones stay exact beyond 2**53.
    """
    if isinstance(value, bool):
        raise PydanticCustomError("number", "should be a number")
    if isinstance(value, str):
        try:
            return int(value) if value.strip().lstrip("+-").isdecimal() else float(value)
        except ValueError:
            raise PydanticCustomError("number", "should be a number") from None
    return value


def _whole_number(value: Any) -> Any:
    value = _number(value)
    if isinstance(value, float) and not value.is_integer():
        raise PydanticCustomError("whole_number", "should be a whole number")
    return int(value) if isinstance(value, float) else value


def _text(value: Any) -> Any:
    """Refuse what is no text, such as `version: 1.14` or the date `name: 2024-05-01`."""
    if not isinstance(value, str):
        raise PydanticCustomError("text", "should be text: put it in quotes")
    return value


def _spelled(path: str) -> str:
    """Return a path in one spelling: `./texts/` is `texts`, so that both have one key.

    `link/../texts` need not be `texts`, so `..` behind a name is refused.
    """
    if not path.strip():
        raise PydanticCustomError("path", "should name a file or a folder")
    parts = PurePosixPath(re.sub("^//+", "/", path)).parts
    inner = [*dropwhile(lambda part: part in ("..", "/"), parts)]
    if ".." in inner or parts[:2] == ("/", ".."):
        raise PydanticCustomError("path", "should have .. at its beginning alone: leave it out")
    return PurePosixPath(*parts).as_posix()


def unordered(*usual: str) -> AfterValidator:
    """Return a check that gives a set one order, and so one key."""
    places = {name: place for place, name in enumerate(usual)}

    def order(item: Any) -> tuple[int, Any]:
        if isinstance(item, BaseModel):
            return 0, item.model_dump_json()
        return places.get(item, len(usual)), item

    def arranged(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(sorted(set(items), key=order))

    return AfterValidator(arranged)


Real = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_whole_number)]
Number = Annotated[int | float, BeforeValidator(_number)]  # 8 stays 8
Text = Annotated[str, BeforeValidator(_text)]
Location = Annotated[Text, AfterValidator(_spelled)]
Truth = Annotated[bool, Field(strict=True)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Seed = Annotated[Whole, Field(ge=0, le=MOST_SEED)]
AnySettings = TypeVar("AnySettings", bound="Settings")


class Settings(BaseModel):
    """Hold a section of the configuration: immutable, refusing unknown settings."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )

    @model_validator(mode="after")
    def _components_exist(self) -> Self:
        for name, field in type(self).model_fields.items():
            folder = field_metadata(field).get("component")
            value = getattr(self, name)
            if folder and not components.exists(str(folder), value):
                raise PydanticCustomError(
                    "component",
                    "{name}: there is no '{value}'; choose one of {known}",
                    {
                        "name": name,
                        "value": value,
                        "known": ", ".join(components.options(str(folder))),
                    },
                )
        return self


def field_metadata(field: Any) -> dict[str, Any]:
    """Return the metadata that `setting()` attached to a field."""
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}

"""YAML into typed models, with errors that name the line and suggest the right key."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from infra.errors import UserError

M = TypeVar("M", bound=BaseModel)
Key = str | int


def load_yaml_model(model: type[M], path: str, overrides: list[str] | None = None) -> M:
    """Read a YAML file into a pydantic model.

    Args:
        model: the model to fill; it should forbid unknown keys.
        path: a local YAML file.
        overrides: `dotted.key=value` settings, values in YAML; they win over the file.

    Raises:
        UserError: unreadable file, bad YAML, unknown key (with a suggestion), or invalid value. The
            place is `path:line`.
    """
    node, data = _parse(path)
    for override in overrides or []:
        _apply(data, override)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explain(error.errors(), model, path, node, data, overrides or []) from error


def _parse(path: str) -> tuple[yaml.Node | None, dict[str, Any]]:
    """The file as nodes, which know their lines, and as plain values."""
    text = _read(path)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else path
        problem = getattr(error, "problem", error)
        raise UserError(f"not valid YAML: {problem}", place, "Check indentation and brackets") from error
    if not isinstance(data, dict):
        raise UserError("expected a mapping of settings", path, "Write `key: value` lines")
    _refuse_repeated_keys(node, path)
    return node, data


def _refuse_repeated_keys(node: yaml.Node | None, path: str) -> None:
    """YAML would quietly keep the last of two equal keys."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item, path)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in lines:
            problem = f"key {key.value!r} stands twice, first in line {lines[key.value]}"
            raise UserError(problem, f"{path}:{line}", "Remove one of them")
        lines[key.value] = line
        _refuse_repeated_keys(value, path)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise UserError(f"cannot read the file: {problem}", path, "Check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(f"byte {error.start} is not UTF-8", path, "Save the file as UTF-8") from error


def _apply(data: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not all(key.split(".")):
        raise UserError(f"{override!r} is not of the form key.subkey=value", "--set")
    *parents, last = key.split(".")
    target = data
    for parent in parents:
        child = target.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UserError(f"{parent!r} in {key!r} is not a group of settings", "--set")
        target = child
    try:
        target[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"the value of {key!r} is not valid YAML", "--set") from error


def _explain(
    errors: list[ErrorDetails],
    model: type[BaseModel],
    path: str,
    node: yaml.Node | None,
    data: dict[str, Any],
    overrides: list[str],
) -> UserError:
    # A misspelt key is also a missing one: the unknown key is the better clue.
    error = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    location = list(error["loc"])
    plain = _without_tags(location, data)
    dotted = ".".join(str(part) for part in plain)
    from_override = any(f"{dotted}.".startswith(f"{o.split('=')[0]}.") for o in overrides)
    place = "--set" if from_override else f"{path}:{_line(node, plain)}"
    if error["type"] == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        mend = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(sorted(known))}"
        return UserError(f"unknown key {dotted!r}", place, mend)
    if error["type"] in ("missing", "union_tag_not_found"):
        tag = str(error.get("ctx", {}).get("discriminator", "")).strip("'")
        return UserError(f"{'.'.join(filter(None, [dotted, tag]))!r} is missing", place, "Add it")
    same = [e["msg"] for e in errors if _without_tags(list(e["loc"]), data) == plain]
    message = " or ".join(dict.fromkeys(same)).removeprefix("Value error, ")
    return UserError(f"{dotted}: {message}" if dotted else message, place)


def _without_tags(location: list[Key], data: Any) -> list[Key]:
    """A location without what pydantic adds to it: tags of unions, `[key]`.

    Those parts name nothing in the data. The last part of a location stays, for it may be missing.
    """
    kept: list[Key] = []
    for index, part in enumerate(location):
        found = isinstance(data, dict) and part in data
        found = found or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        if found:
            data = data[part]
        last_of_group = index == len(location) - 1 and isinstance(data, dict) and part != "[key]"
        if found or last_of_group:
            kept.append(part)
    return kept


def _line(node: yaml.Node | None, location: list[Key]) -> int:
    """The 1-based line of the deepest part of a location that the file has."""
    line = 1
    for part in location:
        child = _child(node, part)
        if child is None:
            break
        key, node = child
        line = key.start_mark.line + 1
    return line


def _child(node: yaml.Node | None, part: Key) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((k, v) for k, v in node.value if k.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _known_keys(model: type[BaseModel], location: list[Key]) -> list[str]:
    """The keys allowed at a location, over every model that can stand there."""
    models = [model]
    for part in location:
        fields = [m.model_fields[str(part)].annotation for m in models if str(part) in m.model_fields]
        found = [found for field in fields for found in _models_in(field)]
        # Keys of a mapping and tags of a union are no fields: stay with the models at hand.
        models = found or models
    return [name for m in models for name in m.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models_in(argument)]

"""Errors in a recipe name the line, the key as it was typed, and the right one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from infra.errors import UserError
from infra.yaml_model import load_yaml_model


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Circle(Strict):
    kind: Literal["circle"]
    radius: float = Field(gt=0)


class Square(Strict):
    kind: Literal["square"]
    side: float


class Step(Strict):
    size: int
    note: str = ""

    @model_validator(mode="after")
    def _check(self) -> Step:
        if self.size == 13:
            raise ValueError("13 is never a size")
        return self


class Plan(Strict):
    name: str
    shape: Annotated[Circle | Square, Field(discriminator="kind")]
    steps: dict[str, Step] = {}
    sizes: Literal["all"] | list[int] = "all"


GOOD = """\
name: plan
shape:
  kind: circle
  radius: 2
steps:
  first:
    size: 1
  second: {size: 2, note: the last}
sizes:
  - 3
  - 4
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(GOOD)
    return path


def error_of(path: Path, overrides: list[str] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_yaml_model(Plan, str(path), overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


def test_a_good_file_fills_the_model(file: Path) -> None:
    plan = load_yaml_model(Plan, str(file))
    assert plan.shape == Circle(kind="circle", radius=2)
    assert plan.steps["second"].note == "the last"
    assert plan.sizes == [3, 4]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name:", "nmae:", "FILE:1: unknown key 'nmae'. Did you mean 'name'?"),
        ("radius:", "raduis:", "FILE:4: unknown key 'shape.raduis'. Did you mean 'radius'?"),
        ("note:", "nite:", "FILE:8: unknown key 'steps.second.nite'. Did you mean 'note'?"),
        ("note:", "zzz:", "FILE:8: unknown key 'steps.second.zzz'. Known keys: note, size"),
        ("size: 1", "", "FILE:6: steps.first: Input should be a valid dictionary or instance of Step"),
        ("size: 2, ", "", "FILE:8: 'steps.second.size' is missing. Add it"),
        ("  kind: circle\n", "", "FILE:2: 'shape.kind' is missing. Add it"),
        ("radius: 2", "radius: -2", "FILE:4: shape.radius: Input should be greater than 0"),
        ("size: 1", "size: 13", "FILE:6: steps.first: 13 is never a size"),
        ("name: plan", "name: [", "FILE:3: not valid YAML: expected ',' or ']', but got ':'"),
        ("sizes:", "steps:", "FILE:9: key 'steps' stands twice, first in line 5. Remove one of them"),
    ],
)
def test_an_error_names_line_key_and_mend(file: Path, old: str, new: str, message: str) -> None:
    file.write_text(GOOD.replace(old, new, 1))
    assert error_of(file).startswith(message)


def test_a_wrong_tag_lists_the_right_ones(file: Path) -> None:
    file.write_text(GOOD.replace("kind: circle", "kind: cricle"))
    message = error_of(file)
    assert message.startswith("FILE:2: shape: ")
    assert "'circle', 'square'" in message


def test_a_value_that_fits_no_alternative_lists_all(file: Path) -> None:
    message = error_of(file, ["sizes=none"])
    assert message == "--set: sizes: Input should be 'all' or Input should be a valid list"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps.first.szie=3", "--set: unknown key 'steps.first.szie'. Did you mean 'size'?"),
        ("shape.radius=big", "--set: shape.radius: Input should be a valid number"),
        ("steps", "--set: 'steps' is not of the form key.subkey=value"),
        ("=3", "--set: '=3' is not of the form key.subkey=value"),
        ("name.first=3", "--set: 'name' in 'name.first' is not a group of settings"),
        ("name=[", "--set: the value of 'name' is not valid YAML"),
    ],
)
def test_an_error_of_an_override_names_the_override(file: Path, override: str, message: str) -> None:
    assert error_of(file, [override]).startswith(message)


def test_an_error_of_the_file_is_not_blamed_on_an_override(file: Path) -> None:
    file.write_text(GOOD.replace("radius: 2", "radius: -2"))
    assert error_of(file, ["steps.first.size=4", "shape.kind=circle"]).startswith("FILE:4: shape.radius")


@given(size=st.integers(), note=st.from_regex(r"[a-z]{1,8} [a-z]{1,8}", fullmatch=True))
def test_overrides_win_over_the_file(tmp_path_factory: pytest.TempPathFactory, size: int, note: str) -> None:
    path = tmp_path_factory.getbasetemp() / "plan.yaml"
    path.write_text(GOOD)
    size = 14 if size == 13 else size
    overrides = [f"steps.first.size={size}", f"steps.first.note={note}", "shape={kind: square, side: 1e-3}"]
    plan = load_yaml_model(Plan, str(path), overrides)
    assert plan.steps["first"] == Step(size=size, note=note)
    assert plan.shape == Square(kind="square", side=0.001)


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"just text\n"])
def test_what_is_no_mapping_says_so(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert error_of(file) == "FILE: expected a mapping of settings. Write `key: value` lines"


def test_unreadable_files_are_one_line(tmp_path: Path) -> None:
    missing = "FILE: cannot read the file: no such file or directory. Check the path"
    assert error_of(tmp_path / "nope.yaml") == missing
    assert error_of(tmp_path) == "FILE: cannot read the file: is a directory. Check the path"
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: Zoë\n".encode("latin-1"))
    assert error_of(path) == "FILE: byte 8 is not UTF-8. Save the file as UTF-8"


def test_yaml_cannot_make_python_objects(file: Path) -> None:
    file.write_text(GOOD.replace("plan", "!!python/object/apply:os.getcwd []", 1))
    assert error_of(file).startswith("FILE:1: not valid YAML: ")

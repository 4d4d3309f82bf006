"""What a job is: `run(spec, report) -> Manifest`, the same function wherever it runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict

from infra.manifest import Manifest
from infra.reporter import Reporter

S = TypeVar("S", bound=BaseModel)


class Resources(BaseModel):
    """What a job may use. It changes how fast a job is, never what it makes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    workers: int | None = None
    """Parallel workers; all cores when absent."""
    gpus: float = 0.0
    """GPUs for each worker."""


class JobSpec(BaseModel, Generic[S]):
    """Everything a job needs to know.

    `inputs` maps an upstream asset's name to the output folders that hold its manifests, in order.
    `settings` is the part of the recipe that decides what the job makes; with the input manifests'
    hashes it gives the fingerprint that names `output`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    asset: str
    partition: str | None = None
    fingerprint: str
    seed: int = 0
    inputs: dict[str, list[str]] = {}
    output: str
    cache: str | None = None
    """Folder for what other outputs may use again, such as answers of a model; never decides what is made."""
    settings: S
    resources: Resources = Resources()


Job = Callable[[JobSpec[Any], Reporter], Manifest]


def load_job(name: str) -> Job:
    """The function behind a job's name, `package.module:function`; imports its module.

    Raises:
        ValueError: the name is malformed or points outside `jobs`.
    """
    module, _, function = name.partition(":")
    if not module.startswith("jobs.") or not function:
        raise ValueError(f"job {name!r} is not of the form jobs.module:function")
    return cast(Job, getattr(importlib.import_module(module), function))


def spec_type(job: Job) -> type[JobSpec[Any]]:
    """The concrete JobSpec[...] a job takes, read from its annotations."""
    from typing import get_type_hints

    return cast("type[JobSpec[Any]]", get_type_hints(job)["spec"])

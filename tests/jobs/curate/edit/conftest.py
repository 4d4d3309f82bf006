"""Curation of edits over any source, as one call; and sources to curate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.job import Job, Resources, spec_type
from infra.manifest import Output
from infra.reporter import SilentReporter
from infra.storage import list_files
from jobs.curate.edit import audit, judge, match, mix, score, subsets
from jobs.recipe.curation.edit import EditCuration
from jobs.recipe.sources import SceneEditsSource, Source
from jobs.recipe.vlm import SourceText, VlmSettings
from jobs.sources.discover import list_shards
from jobs.sources.shards import publish_shards
from jobs.specs.edit import (
    EditAuditSettings,
    EditJudgeSettings,
    EditMatchSettings,
    EditMixSettings,
    EditScoreSettings,
    EditSubsetSettings,
)

Folders = dict[str, str]


DRAWN = SceneEditsSource(count=240, wrong=0.25, shard_records=80)
ANY_SHARE_OF_BAD = EditCuration(max_bad=1.0)


@pytest.fixture(scope="session")
def drawn(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Folders]:
    """Drawn edits curated without a model: the home, and the outputs of all stages."""
    home = tmp_path_factory.mktemp("drawn")
    return home, run_stages(DRAWN, home, ANY_SHARE_OF_BAD)


def run_stages(
    source: Source,
    home: Path,
    curation: EditCuration | None = None,
    judge_by: VlmSettings | None = None,
    tasks_by: VlmSettings | None = None,
    workers: int | None = None,
    until: str = "mixed",
    made: Folders | None = None,
) -> Folders:
    """The stages in order, over one drop that holds all of the source; those in `made` are there already."""
    folders = {"raw": publish_raw(source, home)} | (made or {})
    for name, (job, inputs, part) in stages(source, curation or EditCuration(), judge_by, tasks_by).items():
        if name in folders:
            continue
        folders[name] = str(home / name)
        spec = spec_type(job)(
            asset=f"edit/{name}",
            partition=None if name in ("subsets", "mixed") else "edit-0000",
            fingerprint="f",
            inputs={"raw/edit" if one == "raw" else f"edit/{one}": [folders[one]] for one in inputs},
            output=folders[name],
            cache=str(home / "cache"),
            settings=part,
            resources=Resources(workers=workers),
        )
        job(spec, SilentReporter())
        if name == until:
            break
    return folders


def stages(
    source: Source,
    wanted: EditCuration,
    judge_by: VlmSettings | None = None,
    tasks_by: VlmSettings | None = None,
) -> dict[str, tuple[Job, list[str], Any]]:
    """Job, inputs and settings of each stage."""
    nobody = SourceText()
    return {
        "scored": (score.run, ["raw"], EditScoreSettings(source=source, limits=wanted.limits)),
        "size_matched": (match.run, ["scored"], EditMatchSettings(filters=wanted.filters)),
        "judged": (
            judge.run,
            ["size_matched"],
            EditJudgeSettings(
                source=source,
                judge=judge_by or nobody,
                tasks=tasks_by or nobody,
            ),
        ),
        "subsets": (
            subsets.run,
            ["judged"],
            EditSubsetSettings(
                min_score=wanted.min_score,
                max_changed=None if judge_by else wanted.max_changed,
                max_bad=wanted.max_bad,
                min_judged=wanted.min_judged,
            ),
        ),
        "audited": (
            audit.run,
            ["judged", "subsets", "scored"],
            EditAuditSettings(
                source=source,
                min_score=wanted.min_score,
                max_changed=None if judge_by else wanted.max_changed,
            ),
        ),
        "mixed": (
            mix.run,
            ["audited"],
            EditMixSettings(target={str(task): w for task, w in wanted.target.items()}, met=wanted.met),
        ),
    }


def publish_raw(source: Source, home: Path) -> str:
    """The listing of a source as one drop."""
    folder = str(home / "raw")
    publish_shards(Output(folder), list_shards("edit", source))
    return folder


@pytest.fixture
def read_all() -> Callable[[str], dict[str, bytes]]:
    """The files below a folder by relative path."""

    def read(folder: str) -> dict[str, bytes]:
        return {f.uri.removeprefix(folder): Path(f.uri).read_bytes() for f in list_files(folder)}

    return read

"""A home with everything in it that lineage follows: all families, packs of two stages, checkpoints.

Curation, extraction and packing are the real jobs; models have the weights they were initialised with. One
folder of pictures is the source of text-to-image documents and of subject pairs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import yaml
from support import publish_tokenizer, publish_transformer

from assets.lineage.home import Home, finished
from assets.locate import Locator, all_places, current_drops
from assets.plan import materialize_stale
from assets.project import Project
from infra.catalogue import Counts
from infra.manifest import FileEntry, Manifest, Output
from infra.settings import prepare_dagster_home
from infra.storage import publish_bytes
from jobs.models import load_text
from jobs.recipe import FolderSource, Recipe
from jobs.recipe.sources import SceneAlbumsSource
from jobs.semantic.encoder import TrainedOn
from jobs.sources.discover import list_shards
from jobs.sources.read import read_pictures
from model.semantic import CONTEXT, new_semantic_encoder, save_semantic_encoder
from model.tokenizer import TokenizerConfig

SIDE = 64
BAD = "broken.png"
"""A file that is no picture."""

_LOOSE = {"min_side": SIDE, "min_entropy": 0.1, "min_sharpness": 1, "max_border": 1, "max_frame": 1}
_STAGE = {"level": "small", "steps": 2, "packs_per_step": 1, "workers": 1, "learning_rate": 1e-3}


def recipe(pictures: str) -> Recipe:
    """Of two stages: the first of pictures with captions, the second of all families."""
    folder = {"kind": "folder", "uri": pictures, "shard_records": 12}
    stages = {
        "first": {**_STAGE, "packing": {"max_tokens": 256}},
        "second": {
            **_STAGE,
            "mixture": {"t2i": 1, "understanding": 2, "edit": 2, "subject": 2, "text": 2},
            "packing": {"max_tokens": 512},
        },
    }
    curation = {
        "t2i": {
            "filters": _LOOSE,
            "duplicates": {"max_distance": 0, "max_colour_difference": 0},
            "topics": {"by": "caption"},
        },
        "understanding": {"rewritten": 1, "knowledge": 0, "inverted": 0, "text_rich": None},
        "edit": {"filters": {}, "synthetic": {"per_picture": 2}, "met": 0},
        "subject": {"filters": _LOOSE, "min_similarity": -1, "max_similarity": 1},
    }
    return Recipe.model_validate(
        {
            "name": "traced",
            "sources": {
                "t2i": {**folder, "drop_shards": 2},
                "subject": folder,
                "text": {"kind": "scene_texts", "count": 60},
            },
            "curation": curation,
            "levels": {"small": {"schedule": [1, 2, 3, 4], "cell": 16}},
            "tokenizer": {
                "preset": "tiny",
                "level": "small",
                **{name: {"steps": 1} for name in ("pixel", "joint", "decoder")},
                "semantic": {"steps": 1, "side": SIDE},
            },
            "tokens": {"self_correction": {"top_k": 4}, "min_psnr": 0, "workers": 1},
            "model": {"preset": "tiny"},
            "stages": stages,
            "evaluation": {"stages": ["first"]},
        }
    )


def build(factory: pytest.TempPathFactory) -> Path:
    """The home, made once for all processes that share a test run."""
    base = factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "traced"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "done").exists():
            _build(root)
            current(root / "home")
            (root / "done").touch()
    return root / "home"


def _build(root: Path) -> None:
    home = root / "home"
    _write_pictures(root / "pictures")
    with opened(home) as (project, instance):
        _make(project, instance, "t2i/*,text/*,understanding/*,edit/*")
        _publish_semantic(Path(_folder(project, instance, "tokenizer/semantic")))
        _publish(project, instance, "tokenizer/pixel")
        joint = _folder(project, instance, "tokenizer/joint")
        publish_tokenizer(Path(joint))
        _publish(project, instance, "tokenizer/decoder")
        _make(project, instance, "subject/*,tokens/*,packs/*")
        for stage in project.recipe.stages:
            place = Locator(project, current_drops(instance)).place(f"training/{stage}")
            publish_transformer(Path(place.folder), stage, place.inputs)
        _publish(project, instance, "evaluation/first/fixed_prompts")


def copied(built: Path, to: Path) -> Path:
    """A home of one's own with the same content."""
    shutil.copytree(built, to / "home", symlinks=True)
    (to / "pictures").symlink_to(built.parent / "pictures")
    return to / "home"


def current(home: Path) -> Path:
    """The home, with its recipe as the one that commands use."""
    with opened(home) as (project, _):
        text = yaml.safe_dump(project.recipe.model_dump(mode="json"))
    publish_bytes(f"{home}/recipes/current.yaml", text.encode())
    return home


@contextmanager
def opened(home: Path) -> Iterator[tuple[Project, dg.DagsterInstance]]:
    """The project of a home and its history."""
    project = Project(recipe(str((home.parent / "pictures").resolve())), str(home))
    with dg.DagsterInstance.from_config(prepare_dagster_home(str(home))) as instance:
        yield project, instance


def pictures(project: Project) -> list[Path]:
    """The files of the source."""
    source = project.recipe.sources.t2i
    assert isinstance(source, FolderSource)
    return sorted(Path(source.uri).rglob("*.png"))


def picture(project: Project, number: int) -> Path:
    """One of them."""
    return next(path for path in pictures(project) if path.name == f"p{number:02d}.png")


def look(project: Project, instance: dg.DagsterInstance) -> Home:
    """What is published there now."""
    return finished(all_places(project, current_drops(instance)))


def _write_pictures(folder: Path) -> None:
    """Albums with captions, a copy of a picture under another name, and a file that is no picture."""
    if folder.exists():
        return
    source = SceneAlbumsSource(count=30, size=SIDE)
    records = [r for shard in list_shards("subject", source) for r in read_pictures(source, shard, 1 << 30)]
    for number, record in enumerate(records):
        assert record.image is not None
        album = folder / f"album-{str(record.group).rpartition('#')[2].rpartition('/')[2]}"
        album.mkdir(parents=True, exist_ok=True)
        (album / f"p{number:02d}.png").write_bytes(record.image)
        (album / f"p{number:02d}.txt").write_text(record.caption or "")
    for suffix in ("png", "txt"):
        shutil.copy(next(folder.rglob(f"p00.{suffix}")), folder / f"copy.{suffix}")
    (folder / BAD).write_bytes(b"no picture")


def _make(project: Project, instance: dg.DagsterInstance, selection: str) -> None:
    for _ in materialize_stale(project, instance, selection):
        pass


def _folder(project: Project, instance: dg.DagsterInstance, key: str) -> str:
    return Locator(project, current_drops(instance)).place(key).folder


def _publish_semantic(folder: Path) -> None:
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    save_semantic_encoder(new_semantic_encoder(TokenizerConfig.preset("tiny"), load_text("builtin"), 0), data)
    TrainedOn("builtin", CONTEXT, SIDE).save(data)
    paths = sorted(data.iterdir())
    files = [FileEntry(path=f"data/{p.name}", bytes=p.stat().st_size, sha256=p.name) for p in paths]
    _commit(folder, "tokenizer/semantic", files)


def _publish(project: Project, instance: dg.DagsterInstance, key: str) -> None:
    """A finished output without files."""
    _commit(Path(_folder(project, instance, key)), key, [])


def _commit(folder: Path, key: str, files: list[FileEntry]) -> None:
    manifest = Manifest(asset=key, partition=None, fingerprint="f", files=tuple(files), counts=Counts())
    Output(str(folder)).commit(manifest)

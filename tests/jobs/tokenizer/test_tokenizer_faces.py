"""Faces: a real one is found however it is scaled and stored, nothing else is; the job loses no picture."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.cbook import get_sample_data
from PIL import Image, ImageOps

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, TextSegment, format_id, sample_id
from infra.errors import UserError
from infra.job import JobSpec, Resources
from infra.manifest import Manifest, Output, read_manifest, read_table
from infra.reporter import SilentReporter
from jobs.curated import Media, tar_bytes
from jobs.scenes.sample import make_sample
from jobs.specs import FaceSettings
from jobs.tokenizer.faces import SUFFIX, FaceCounter, count_faces, faces_by_member, find_faces, run
from jobs.units import Unit
from tests.jobs.support import commit

FACE = (165, 130, 370, 335)
"""Where the face of `portrait` is, from ear to ear and from the hat to the chin, by eye."""


def portrait() -> Image.Image:
    """Grace Hopper in uniform before a flag, 512x600 pixels; a photo that ships with matplotlib."""
    with get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
        return Image.open(file).convert("RGB")


def scene(index: int) -> Image.Image:
    return Image.open(io.BytesIO(make_sample(0, index, 256).png)).convert("RGB")


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def covered(box: tuple[int, int, int, int], region: tuple[float, ...]) -> float:
    """Intersection over union."""
    width = min(box[2], region[2]) - max(box[0], region[0])
    height = min(box[3], region[3]) - max(box[1], region[1])
    shared = max(0, width) * max(0, height)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (box, region)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize("scale", [0.25, 0.5, 1, 1.7, 3])
@pytest.mark.parametrize("quality", [None, 90, 30])
def test_a_face_is_found_where_it_is_at_any_scale_and_quality(scale: float, quality: int | None) -> None:
    picture = ImageOps.scale(portrait(), scale)
    if quality is not None:
        picture = Image.open(io.BytesIO(encode(picture, "JPEG", quality=quality)))
    (box,) = find_faces(picture)
    assert covered(box, tuple(scale * side for side in FACE)) > 0.6
    assert count_faces(picture) == 1


def test_every_face_counts_and_the_largest_comes_first() -> None:
    picture = Image.new("RGB", (900, 600), "grey")
    picture.paste(ImageOps.scale(portrait(), 0.5), (0, 100))
    picture.paste(ImageOps.scale(portrait(), 0.9), (400, 0))
    large, small = find_faces(picture)
    assert large.area > 2 * small.area
    assert small.right < 400 <= large.left


@pytest.mark.parametrize("index", range(12))
def test_scenes_of_shapes_show_no_face(index: int) -> None:
    assert find_faces(scene(index)) == []


def textures() -> dict[str, Image.Image]:
    y, x = np.mgrid[:256, :256]
    rng = np.random.default_rng(0)
    planes = {
        "plain": np.full((256, 256), 128),
        "gradient": x,
        "stripes": (x // 8 % 2) * 255,
        "checks": ((x // 16 + y // 16) % 2) * 255,
        "rings": np.hypot(x - 128, y - 128) * 4 % 256,
        "noise": rng.integers(0, 256, (256, 256)),
    }
    return {name: Image.fromarray(plane.astype(np.uint8)).convert("RGB") for name, plane in planes.items()}


@pytest.mark.parametrize("name", textures())
def test_textures_show_no_face(name: str) -> None:
    assert find_faces(textures()[name]) == []


@pytest.mark.parametrize(
    "change", [ImageOps.flip, lambda p: p.crop((0, 330, 512, 600)), lambda p: p.crop((0, 0, 512, 130))]
)
def test_the_same_photo_without_an_upright_face_shows_none(change: Any) -> None:
    assert find_faces(change(portrait())) == []


def test_searching_leaves_the_picture_alone_and_is_the_same_on_any_number_of_threads() -> None:
    picture = portrait()
    before, threads = picture.tobytes(), cv2.getNumThreads()
    try:
        found = []
        for number in (1, 4):
            cv2.setNumThreads(number)
            found.append(find_faces(picture))
    finally:
        cv2.setNumThreads(threads)
    assert found[0] == found[1]
    assert picture.tobytes() == before


@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_boxes_lie_within_pictures_of_any_size(width: int, height: int, seed: int) -> None:
    left, top = np.random.default_rng(seed).integers(0, 200, 2)
    picture = portrait().crop((left, top, left + width, top + height))
    for box in find_faces(picture):
        assert 0 <= box.left < box.right <= width
        assert 0 <= box.top < box.bottom <= height


def document(*pictures: bytes) -> tuple[Document, Media]:
    identity = sample_id("t2i", list(pictures))
    media = {f"{format_id(identity)}.{place}.png": data for place, data in enumerate(pictures)}
    images = [
        ImageSegment(member=member, width=1, height=1, sha256=hashlib.sha256(data).hexdigest())
        for member, data in media.items()
    ]
    segments = (TextSegment(text="a picture"), *images)
    return Document(sample_id=identity, family="t2i", segments=segments), media


PORTRAITS = [document(encode(ImageOps.scale(portrait(), scale))) for scale in (0.3, 0.4, 0.5)]
PAIR = document(encode(scene(0)), encode(ImageOps.scale(portrait(), 0.6)))
SCENES = [document(encode(scene(index))) for index in range(1, 6)]
CUT = document(encode(scene(7))[:900])
UNITS = {"a": [PORTRAITS[0], *SCENES[:3]], "b": [PAIR, CUT, SCENES[3]], "c": [SCENES[4], *PORTRAITS[1:]]}
WITH_FACES = {(d.sample_id, max(media)): 1 for d, media in (*PORTRAITS, PAIR)}


def publish(folder: Path, units: dict[str, list[tuple[Document, Media]]]) -> str:
    """A finished drop with a tar per unit, as captioning publishes it."""
    output = Output(str(folder))
    files = [output.publish(f"data/{name}.tar", tar_bytes(part), len(part)) for name, part in units.items()]
    return commit(folder, "t2i/captioned", files, sum(map(len, units.values())))


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A drop in three tars: 11 pictures of which 4 show a face and 1 is cut short."""
    return publish(tmp_path_factory.mktemp("captioned"), UNITS)


def look(captioned: str, output: Path, workers: int = 1) -> Manifest:
    spec = JobSpec[FaceSettings](
        asset="tokenizer/faces",
        partition="d",
        fingerprint="f",
        inputs={"t2i/captioned": [captioned]},
        output=str(output),
        settings=FaceSettings(),
        resources=Resources(workers=workers),
    )
    return run(spec, SilentReporter())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def finished(
    ray_session: None, captioned: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("faces")
    return folder, look(captioned, folder)


def test_the_job_finds_the_pictures_with_faces(finished: tuple[Path, Manifest]) -> None:
    folder, manifest = finished
    assert faces_by_member([str(folder)]) == WITH_FACES
    assert manifest.metadata == {"with_faces": 4, "share": 0.4}
    assert (folder / "pictures/faces.png").read_bytes().startswith(b"\x89PNG")


def test_every_picture_has_a_row_and_one_that_does_not_decode_a_reason(
    finished: tuple[Path, Manifest],
) -> None:
    folder, manifest = finished
    assert manifest.counts == Counts(total=11, kept=10, rejected={"truncated": 1})
    rows = [row for path in manifest.paths(SUFFIX) for row in read_table(str(folder / path)).to_pylist()]
    members = {(d.sample_id, member) for part in UNITS.values() for d, media in part for member in media}
    assert len(rows) == len(members)
    assert {(row["sample_id"], row["member"]) for row in rows} == members
    (cut,) = [row for row in rows if row["reason"]]
    assert (cut["sample_id"], cut["reason"]) == (CUT[0].sample_id, "truncated")
    assert cut["faces"] is None
    for row in rows:
        if (row["sample_id"], row["member"]) in WITH_FACES:
            assert 0.1 < row["largest"] < 0.2
        elif row is not cut:
            assert (row["faces"], row["largest"]) == (0, 0)


def test_two_workers_make_the_same_bytes(
    finished: tuple[Path, Manifest], captioned: str, tmp_path: Path
) -> None:
    look(captioned, tmp_path, workers=2)
    assert contents(tmp_path) == contents(finished[0])


def test_a_killed_run_ends_with_the_same_bytes(
    finished: tuple[Path, Manifest], captioned: str, tmp_path: Path
) -> None:
    killed = Path(shutil.copytree(finished[0], tmp_path / "killed"))
    (killed / "manifest.parquet").unlink()
    (killed / "pictures/faces.png").unlink()
    (killed / "units/b.json").unlink()
    (killed / f"data/b{SUFFIX}").write_bytes(b"PAR1 and no more")
    (killed / "data/.publishing-0123").write_bytes(b"half of a file")
    look(captioned, killed)
    assert contents(killed) == contents(finished[0])


def test_a_drop_without_faces_has_no_sheet(ray_session: None, tmp_path: Path) -> None:
    manifest = look(publish(tmp_path / "captioned", {"a": SCENES}), tmp_path / "faces")
    assert manifest.metadata == {"with_faces": 0, "share": 0.0}
    assert faces_by_member([str(tmp_path / "faces")]) == {}
    assert not (tmp_path / "faces/pictures").exists()


@pytest.mark.parametrize("kept_bytes", [2500, 512 * 9, 0])
def test_a_tar_cut_short_is_one_clear_line(captioned: str, tmp_path: Path, kept_bytes: int) -> None:
    damaged = Path(shutil.copytree(captioned, tmp_path / "captioned"))
    tar = damaged / "data/b.tar"
    tar.write_bytes(tar.read_bytes()[:kept_bytes])
    entry = next(f for f in read_manifest(captioned).files if f.path == "data/b.tar")
    with pytest.raises(UserError, match=r"b\.tar: the shard is damaged: [0-2] of 3 documents"):
        FaceCounter(Output(str(tmp_path)), str(damaged))(Unit("b", entry))

"""What curated pictures are taken for, and that no strange file stops the work."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from curated_pictures import curated, cutout, cutouts, encode, photo, picture, publish, scene, settings
from PIL import Image

from infra.manifest import Output, read_table
from jobs.curate.edit.operations.material import Material, read_materials
from jobs.curate.edit.operations.unit import Tar, make_unit
from jobs.images import DecodeError, decode, decode_rgba
from jobs.units import Unit


def kind_of(folder: Path, pair: tuple) -> Material:
    (found,) = read_materials(publish(folder, [[pair]]), "data/000000.tar", 1_000_000)
    return found


def test_a_scene_is_one_only_with_its_own_bytes(tmp_path: Path) -> None:
    document, media = scene(3)
    assert kind_of(tmp_path / "a", (document, media)).scene is not None
    other = curated("scenes:5/64#000000003", "a red circle", encode(photo(1, 64, 64)), (64, 64))
    assert kind_of(tmp_path / "b", other).kind == "picture"


def test_a_rounded_photo_is_no_cutout(tmp_path: Path) -> None:
    image = photo(2).convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    found = kind_of(tmp_path, picture("folder#r", "A meadow", image))
    assert (found.kind, found.is_whole) == ("picture", False)


def palette_with_transparency() -> Image.Image:
    image = Image.new("P", (80, 80))
    image.putpalette([0, 0, 0, 200, 30, 30])
    image.paste(1, (20, 20, 60, 60))
    image.info["transparency"] = 0
    return image


def test_every_kind_of_transparency_cuts_an_object_out(tmp_path: Path) -> None:
    grey = Image.merge("LA", (Image.new("L", (80, 80), 90), Image.new("L", (80, 80))))
    grey.paste((90, 255), (20, 20, 60, 60))
    for number, image in enumerate((palette_with_transparency(), grey, cutout("red"))):
        found = kind_of(tmp_path / str(number), picture(f"folder#{number}", "A thing", image))
        assert found.kind == "cutout"
    assert kind_of(tmp_path / "p", picture("p", "A thing", palette_with_transparency())).layer(
        10**6
    ).size == (
        40,
        40,
    )


def odd_files() -> dict[str, bytes]:
    sixteen = Image.fromarray(np.arange(6400, dtype=np.uint16).reshape(80, 80) * 10)
    frames = [photo(n, 80, 80) for n in range(3)]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    whole = encode(photo(5), "JPEG")
    return {
        "cmyk": encode(photo(4).convert("CMYK"), "JPEG"),
        "sixteen bits": encode(sixteen),
        "grey": encode(photo(6).convert("L")),
        "tiny": encode(cutout("red", side=20)),
        "animated": moving.getvalue(),
        "truncated": whole[: len(whole) // 2],
        "nothing": b"",
    }


def test_strange_files_are_edited_or_rejected_with_a_reason(tmp_path: Path) -> None:
    pairs = [curated(name, "A thing", data, (80, 80)) for name, data in odd_files().items()]
    folder = publish(tmp_path / "captioned", [pairs])
    output = Output(str(tmp_path / "made"))
    told = settings({"lighting": 1.0, "move": 1.0}, per_picture=2)
    receipt = make_unit(Unit("u", Tar(folder, "data/000000.tar")), output, told, seed=0)
    rows = read_table(f"{output.uri}/data/u.edits.parquet").to_pylist()
    reasons = {(row["source"].partition("#")[0], row["task"]): row["reason"] for row in rows}
    assert reasons["cmyk", "lighting"] is None
    assert reasons["sixteen bits", "lighting"] is None
    assert reasons["grey", "lighting"] is None
    assert reasons["tiny", "move"] == "object_too_small"
    assert reasons["animated", "lighting"] == "animated"
    assert reasons["truncated", "lighting"] == "truncated"
    assert reasons["nothing", "lighting"] == "empty_file"
    assert receipt.counts.total == len(rows) == 8


def test_an_edit_that_changes_nothing_is_rejected(tmp_path: Path) -> None:
    white = picture("white", "A wall", Image.new("RGB", (80, 80), "white"))
    folder = publish(tmp_path / "captioned", [[white]])
    output = Output(str(tmp_path / "made"))
    told = settings({"viewpoint": 1.0})
    receipt = make_unit(Unit("u", Tar(folder, "data/000000.tar")), output, told, seed=0)
    assert receipt.counts.rejected == {"nothing_changed": 1}
    assert [file.path for file in receipt.files] == ["data/u.edits.parquet"]


def test_decoding_with_transparency_agrees_with_decoding_over_white() -> None:
    layer = decode_rgba(encode(cutout("blue")))
    flat = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    assert flat.tobytes() == decode(encode(cutout("blue"))).tobytes()
    assert decode_rgba(encode(photo(1), "JPEG")).getextrema()[3] == (255, 255)


@pytest.mark.parametrize("data", [b"", b"<html>", encode(photo(1))[:200], encode(photo(1, 400, 300))])
def test_decoding_with_transparency_keeps_to_the_same_limits(data: bytes) -> None:
    with pytest.raises(DecodeError) as plain:
        decode(data, max_pixels=100_000)
    with pytest.raises(DecodeError) as layered:
        decode_rgba(data, max_pixels=100_000)
    assert layered.value.reason == plain.value.reason


def test_cutouts_have_the_names_of_their_captions(tmp_path: Path) -> None:
    (pair,) = cutouts(1)
    found = kind_of(tmp_path, pair)
    assert found.name is not None
    assert found.name.definite == "the red ball number 0"

"""Pictures beyond the default limit, which a recipe may allow, are decoded wherever scoring decoded them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from infra.document import Document, ImageSegment, TextSegment, format_id
from infra.manifest import Output
from infra.reporter import SilentReporter
from jobs.curate.edit.pictures import show_mixed
from jobs.curate.edit.quotas import Quota
from jobs.curated import tar_bytes
from jobs.images import MAX_PIXELS
from jobs.vlm import Question
from jobs.vlm.answers import EditVerdict
from jobs.vlm.request import prepare

SIDE = 10_001


@pytest.fixture(scope="module")
def large() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (SIDE, SIDE)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_mix_shows_it(large: bytes, tmp_path: Path) -> None:
    small = io.BytesIO()
    Image.new("RGB", (64, 64)).save(small, "PNG")
    media = {f"{format_id(1)}.0.png": small.getvalue(), f"{format_id(1)}.1.png": large}
    before, after = (
        ImageSegment(member=member, width=side, height=side, sha256="0" * 64, loss=side == SIDE)
        for member, side in zip(media, (64, SIDE), strict=True)
    )
    text = TextSegment(text="Enlarge it", loss=False)
    document = Document(
        sample_id=1, family="edit", segments=(before, text, after), metadata={"task": "resize"}
    )
    output = Output(str(tmp_path))
    output.publish("data/0.tar", tar_bytes([(document, media)]), 1)
    show_mixed(output, SilentReporter(), {"resize": Quota(1.0, 1, 1)}, ["data/0.tar"])
    assert (tmp_path / "pictures" / "task-resize.png").stat().st_size > 0


def test_a_model_is_shown_it_where_the_question_allows_it(large: bytes) -> None:
    assert SIDE * SIDE > MAX_PIXELS
    asked = Question("a", "edit_judge", EditVerdict, (large,), {"instruction": "x"}, max_pixels=SIDE * SIDE)
    (picture, _) = prepare(asked, {}).messages(64)[0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")

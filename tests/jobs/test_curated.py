import hashlib
import io
import random
from pathlib import Path

import pytest
from PIL import Image

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, TextSegment, format_id
from infra.manifest import Manifest, Output
from jobs.curated import Media, captioned_units, first_picture, iter_documents, iter_unit, tar_bytes
from jobs.images import MAX_PIXELS, DecodeError


def pair(number: int) -> tuple[Document, Media]:
    data = bytes([number]) * (number + 1)
    member = f"{format_id(number)}.0.png"
    image = ImageSegment(member=member, width=1, height=1, sha256=hashlib.sha256(data).hexdigest())
    segments = (TextSegment(text=f"número {number}"), image)
    document = Document(sample_id=number, family="t2i", segments=segments, metadata={"topic": "x"})
    return document, {member: data}


def publish(folder: Path, parts: dict[str, list[tuple[Document, Media]]]) -> None:
    output = Output(str(folder))
    files = tuple(output.publish(f"data/{name}.tar", tar_bytes(docs)) for name, docs in parts.items())
    output.commit(Manifest(asset="a", partition=None, fingerprint="f", files=files, counts=Counts()))


def test_order_of_writing_does_not_matter() -> None:
    pairs = [pair(n) for n in range(20)]
    shuffled = random.Random(1).sample(pairs, len(pairs))
    assert tar_bytes(pairs) == tar_bytes(shuffled)
    assert tar_bytes(pairs) != tar_bytes(pairs[1:])


def test_documents_come_back_as_written(tmp_path: Path) -> None:
    pairs = [pair(n) for n in range(5)]
    publish(tmp_path, {"000000": pairs[:3], "000001": pairs[3:]})
    assert captioned_units(str(tmp_path)) == ["data/000000.tar", "data/000001.tar"]
    assert list(iter_documents(str(tmp_path))) == pairs
    assert list(iter_unit(str(tmp_path), "data/000001.tar")) == pairs[3:]


def test_a_missing_member_is_noticed(tmp_path: Path) -> None:
    document, _ = pair(3)
    publish(tmp_path, {"000000": [(document, {})]})
    with pytest.raises(ValueError, match="names"):
        list(iter_documents(str(tmp_path)))


def pictured(image: Image.Image, width: int, height: int) -> tuple[Document, Media]:
    """A document that says of its picture that it has this size."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    segment = ImageSegment(member="a", width=width, height=height, sha256="")
    return Document(sample_id=1, family="t2i", segments=(segment,), metadata={}), {"a": buffer.getvalue()}


def test_a_picture_that_curation_accepted_is_decoded_however_large() -> None:
    large = Image.new("1", (MAX_PIXELS // 2000 + 1, 2000))
    assert first_picture(*pictured(large, *large.size)).size == large.size


def test_a_picture_larger_than_its_document_says_is_not() -> None:
    with pytest.raises(DecodeError, match="too_many_pixels"):
        first_picture(*pictured(Image.new("1", (20, 30)), 20, 29))

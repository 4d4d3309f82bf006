import hashlib
import random
from pathlib import Path

import pytest

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, TextSegment, format_id
from infra.manifest import Manifest, Output
from jobs.curated import Media, captioned_units, iter_documents, iter_unit, tar_bytes


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

"""Embeddings: what is stored is what the encoder says, whoever the encoder is and whatever runs beside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from curate.t2i.hostile import photo
from curate.t2i.published import publish_clip
from torch.nn import functional

from infra.errors import UserError
from infra.manifest import read_manifest, read_table
from jobs.curate.stage import read_catalogue
from jobs.curate.t2i.embedders import OpenClip, open_embedder
from jobs.curate.t2i.embeddings import read_embeddings
from jobs.images import decode
from jobs.recipe.curation.t2i import Embedding, OpenClipEmbedder
from jobs.semantic.encoder import load_encoder


def test_every_picture_that_decodes_has_the_encoders_embedding(
    embedded: dict[str, str], encoder: str, messy: tuple[Path, dict[str, str]]
) -> None:
    """Made by two workers, the same as here one by one."""
    catalogue = read_catalogue(embedded["embedded"])
    kept = read_manifest(embedded["scored"]).counts.kept
    assert len(catalogue) == read_manifest(embedded["embedded"]).counts.kept == kept
    sources = catalogue["source"].to_pylist()
    vectors = read_embeddings(embedded["embedded"], sources)
    load = load_encoder(encoder)
    for source, vector in list(zip(sources, vectors, strict=True))[::4]:
        picture = decode((messy[0] / source.rpartition("#")[2]).read_bytes())
        assert vector.tolist() == load.images([picture])[0].numpy().astype(np.float16).tolist()
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    assert np.abs(lengths - 1).max() < 2e-3


def test_rows_come_in_the_order_asked_for(embedded: dict[str, str]) -> None:
    folder = embedded["embedded"]
    sources = read_catalogue(folder)["source"].to_pylist()
    some = sources[::-3]
    whole = dict(zip(sources, read_embeddings(folder, sources).tolist(), strict=True))
    assert read_embeddings(folder, some).tolist() == [whole[source] for source in some]
    assert read_embeddings(folder, []).shape[0] == 0


def test_stored_is_half_precision_as_bytes(embedded: dict[str, str]) -> None:
    folder = embedded["embedded"]
    path = read_manifest(folder).paths(".embeddings.parquet")[0]
    table = read_table(f"{folder}/{path}")
    assert str(table.schema.field("embedding").type) == "binary"
    width = len(table["embedding"][0].as_py())
    assert {len(value.as_py()) for value in table["embedding"]} == {width}
    assert width == 2 * read_embeddings(folder, table["source"].to_pylist()).shape[1]


def test_there_is_something_to_see(embedded: dict[str, str]) -> None:
    folder = embedded["embedded"]
    assert {p.stem for p in (Path(folder) / "pictures").iterdir()} == {"aesthetic", "best", "worst"}
    scores = read_catalogue(folder)["aesthetic"].to_pylist()
    assert 0 <= min(scores) < max(scores) <= 10


def test_without_an_encoder_is_one_line() -> None:
    with pytest.raises(UserError, match="need a semantic encoder"):
        open_embedder(Embedding(), None, [])


# Published models ----------------------------------------------------------------------------


def test_a_published_model_embeds_as_open_clip_does(tmp_path: Path) -> None:
    name = publish_clip(tmp_path / "clip")
    embedding = Embedding(encoder=OpenClipEmbedder(model=name))
    embedder = open_embedder(embedding, None, [])
    model, _, prepare = open_clip.create_model_and_transforms(name)
    words = ["a cat", "a red house"]
    with torch.no_grad():
        pixels = torch.stack([prepare(photo(seed, 90, 60)) for seed in range(2)])
        images = functional.normalize(model.eval().encode_image(pixels), dim=1)
        texts = functional.normalize(model.encode_text(open_clip.get_tokenizer(name)(words)), dim=1)
    found = embedder.images([photo(seed, 90, 60) for seed in range(2)])
    torch.testing.assert_close(found, images, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(embedder.texts(words), texts, rtol=1e-4, atol=1e-5)
    assert embedder.scale == pytest.approx(model.logit_scale.exp().item())


def test_what_is_embedded_beside_a_picture_does_not_move_it(tmp_path: Path) -> None:
    embedder = OpenClip(publish_clip(tmp_path / "clip"), "")
    together = embedder.images([photo(seed) for seed in range(4)])
    assert torch.equal(together[2], embedder.images([photo(2)])[0])


@pytest.mark.parametrize("damage", ["no folder", "no config", "no weights", "cut weights"])
def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path: Path, damage: str) -> None:
    name, folder = publish_clip(tmp_path / "clip"), tmp_path / "clip"
    weights = folder / "open_clip_model.safetensors"
    if damage == "no folder":
        name = "local-dir:/nowhere/at/all"
    elif damage == "no config":
        (folder / "open_clip_config.json").unlink()
    elif damage == "no weights":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="open_clip cannot load") as error:
        OpenClip(name, "curation.t2i.embedding.encoder.model")
    assert "\n" not in str(error.value)


CODE = """
from pathlib import Path
Path({touched!r}).touch()
from transformers import BertTokenizer
class Words(BertTokenizer):
    pass
"""


@pytest.mark.parametrize("kind", ["plain", "trusting"])
def test_a_published_model_runs_no_code_of_its_own(tmp_path: Path, kind: str) -> None:
    name, folder = publish_clip(tmp_path / "clip"), tmp_path / "clip"
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "x"
    if kind == "trusting":
        config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    theirs = {"tokenizer_class": "Words", "auto_map": {"AutoTokenizer": ["words.Words", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(theirs))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    (folder / "words.py").write_text(CODE.format(touched=str(tmp_path / "touched")))
    with pytest.raises(UserError, match="open_clip cannot load"):
        OpenClip(name, "curation.t2i.embedding.encoder.model")
    assert not (tmp_path / "touched").exists()

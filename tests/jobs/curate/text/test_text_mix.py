"""All stages of text curation over real files: shares, conservation, equal bytes whatever the workers."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_curation import Curation

from assets.checks import Published
from assets.checks.text import MIXTURE
from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.curate.stage import read_catalogue
from jobs.curate.text.quota import choose, quotas
from jobs.curated import iter_documents
from jobs.recipe.sources import MegaMathSource, Mix, NemotronCcSource, TextJsonlSource
from jobs.scenes.texts import write_text
from jobs.specs.text import TextMixSettings


def web_and_maths(folder: Path) -> Mix:
    """Two published schemas: compressed lines, and Parquet."""
    web, maths = folder / "web", folder / "maths"
    web.mkdir(parents=True)
    maths.mkdir()
    for number in range(2):
        lines = [
            json.dumps({"text": write_text(number, n).text, "warc_record_id": f"<urn:uuid:{n}>"})
            for n in range(60)
        ]
        data = "\n".join([*lines, "{broken", json.dumps({"no": "text"})]).encode()
        (web / f"part-{number}.jsonl.zst").write_bytes(pa.Codec("zstd").compress(data, asbytes=True))
    texts = [write_text(9, n).text for n in range(80)]
    pq.write_table(
        pa.table({"text": [*texts, None], "url": ["https://example.org"] * 81}), maths / "m.parquet"
    )
    parts = {"web": NemotronCcSource(uri=str(web)), "maths": MegaMathSource(uri=str(maths))}
    return Mix(parts=parts)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "data").iterdir())}


def test_every_record_of_every_drop_has_its_fate(tmp_path: Path) -> None:
    folder = Curation(tmp_path, web_and_maths(tmp_path), drops=2).run()
    catalogue = read_catalogue(str(folder))
    assert len(catalogue) == 2 * 62 + 81
    assert len(set(catalogue["source"].to_pylist())) == len(catalogue)
    reasons = Counter(catalogue["reason"].to_pylist())
    assert reasons["not_json"] == 2
    assert reasons["no_text"] == 3
    kept = {r["sample_id"]: r for r in catalogue.to_pylist() if r["status"] == "kept"}
    documents = {document.sample_id: document for document, _ in iter_documents(str(folder))}
    assert documents.keys() == kept.keys()
    one = documents[min(documents)]
    assert one.family == "text"
    assert one.segments[0].loss
    assert one.metadata["subset"] in ("web", "maths")


def test_weights_give_shares_of_characters(tmp_path: Path) -> None:
    source = web_and_maths(tmp_path)
    folder = Curation(tmp_path, source).run(weights={"web": 3.0, "maths": 1.0})
    subsets = read_manifest(str(folder)).metadata["subsets"]
    taken = {name: figures["taken"] for name, figures in subsets.items()}
    share = taken["web"] / sum(taken.values())
    assert abs(share - 0.75) < 0.02, "a text is about a hundredth of a subset here"
    assert taken["web"] <= subsets["web"]["quota"]
    assert "over_quota" in read_manifest(str(folder)).counts.rejected
    everything = read_manifest(str(Curation(tmp_path / "all", web_and_maths(tmp_path / "all")).run()))
    assert "over_quota" not in everything.counts.rejected


def test_a_weight_of_no_subset_is_one_clear_line(tmp_path: Path) -> None:
    curation = Curation(tmp_path, web_and_maths(tmp_path))
    with pytest.raises(UserError, match=r"curation.text.weights: .*'wbe'.*'maths', 'web'"):
        curation.run(weights={"wbe": 1.0, "maths": 1.0})


def test_a_subset_without_a_text_that_passes_is_not_called_misspelt(tmp_path: Path) -> None:
    source = web_and_maths(tmp_path)
    pq.write_table(pa.table({"text": ["short"], "url": [""]}), tmp_path / "maths" / "m.parquet")
    with pytest.raises(UserError, match=r"all texts of the subset 'maths' were rejected"):
        Curation(tmp_path, source).run(weights={"web": 1.0, "maths": 1.0})
    Curation(tmp_path, source).run(weights={"web": 1.0, "maths": 0.0})


def test_the_catalogue_of_the_mix_has_no_signatures(tmp_path: Path) -> None:
    columns = read_catalogue(str(Curation(tmp_path, web_and_maths(tmp_path)).run())).column_names
    assert "signature" not in columns
    assert {"opening", "characters", "sha256"} <= set(columns)


def test_workers_change_nothing_and_finished_units_are_not_done_again(tmp_path: Path) -> None:
    source = web_and_maths(tmp_path)
    first = Curation(tmp_path / "one", source).run(workers=1)
    second = Curation(tmp_path / "two", source).run(workers=2)
    assert bytes_of(first) == bytes_of(second)
    for name in ("scored-text-0000", "mixed"):
        (tmp_path / "one" / name / "manifest.parquet").unlink()
    shutil.rmtree(source.parts["web"].uri)  # what has a receipt is not read again
    assert bytes_of(Curation(tmp_path / "one", source_listing(source)).run(workers=1)) == bytes_of(first)


def source_listing(source: Mix) -> Mix:
    """The same source; its first folder is back, but its files are empty."""
    folder = Path(source.parts["web"].uri)
    folder.mkdir()
    for number in range(2):
        (folder / f"part-{number}.jsonl.zst").write_bytes(b"")
    return source


def test_a_text_that_changed_is_one_clear_line(tmp_path: Path) -> None:
    source = web_and_maths(tmp_path)
    curation = Curation(tmp_path, source)
    curation.run()
    shutil.rmtree(tmp_path / "mixed")
    texts = [f"{write_text(9, n).text} changed" for n in range(81)]
    pq.write_table(pa.table({"text": texts, "url": [""] * 81}), tmp_path / "maths" / "m.parquet")
    with pytest.raises(UserError, match="this text changed after it was measured"):
        curation.run()


def test_a_file_that_was_cut_off_gives_the_texts_before_its_end(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    noise = random.Random(0)
    lines = [
        json.dumps({"text": write_text(0, n).text, "id": noise.randbytes(20_000).hex()}) for n in range(40)
    ]
    data = gzip.compress("\n".join(lines).encode())
    (tmp_path / "in" / "a.jsonl.gz").write_bytes(data[: len(data) // 2])
    folder = Curation(tmp_path, TextJsonlSource(uri=str(tmp_path / "in"))).run()
    counts = read_manifest(str(folder)).counts
    catalogue = read_catalogue(str(folder))
    assert "damaged" in catalogue["reason"].to_pylist()
    assert len(list(iter_documents(str(folder)))) == counts.kept > 10


def test_a_text_of_two_drops_is_kept_once(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"text": write_text(0, n).text}) for n in range(20))
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.jsonl").write_text(lines)
    source = TextJsonlSource(uri=str(tmp_path / "in"))
    folder = Curation(tmp_path, source, drops=2).run()
    ids = [document.sample_id for document, _ in iter_documents(str(folder))]
    assert len(ids) == len(set(ids)) >= 15
    manifest = read_manifest(str(folder))
    assert manifest.counts.rejected == {"exact_duplicate": len(ids)}
    (figures,) = manifest.metadata["subsets"].values()
    assert figures["available"] == figures["quota"] == figures["taken"]
    settings = TextMixSettings(source=source, max_bytes=100_000, weights={})
    verdict = MIXTURE.run(Published(str(folder), manifest, {}, settings))
    assert verdict.passed, verdict.why


def test_repeats_over_drops_count_once_in_the_shares(tmp_path: Path) -> None:
    """Of one subset each drop has the same texts: what is left of it decides the shares, not what came."""
    lines = [json.dumps({"text": write_text(0, n).text}) for n in range(60)]
    for part, texts in (("web", [lines[:30], lines[:30]]), ("maths", [lines[30:45], lines[45:]])):
        (tmp_path / part).mkdir()
        for number, own in enumerate(texts):
            (tmp_path / part / f"{number}.jsonl").write_text("\n".join(own))
    parts = {part: TextJsonlSource(uri=str(tmp_path / part)) for part in ("web", "maths")}
    folder = Curation(tmp_path, Mix(parts=parts), drops=4).run(weights={"web": 1.0, "maths": 1.0})
    subsets = read_manifest(str(folder)).metadata["subsets"]
    assert subsets["web"]["quota"] == subsets["maths"]["quota"]
    rows = [row for row in read_catalogue(str(folder)).to_pylist() if row["subset"] == "web"]
    unique = {row["sha256"]: row["characters"] for row in rows if row["stage"] == "mixed"}
    assert subsets["web"]["available"] == sum(unique.values())
    longest = max(unique.values())
    assert all(figures["taken"] > figures["quota"] - longest for figures in subsets.values())


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10_000), min_size=1),
    st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 10), min_size=1),
)
def test_quotas_are_within_what_there_is_and_in_proportion(
    available: dict[str, int], weights: dict[str, float]
) -> None:
    found = quotas(available, weights)
    assert all(0 <= found[name] <= available[name] for name in available)
    used = [name for name in available if name in weights]
    assert not used or any(found[name] == available[name] for name in used), "the scarcest is taken whole"
    for one in used:
        for two in used:
            expected = found[two] * weights[one] / weights[two]
            assert abs(found[one] - expected) <= 1 + weights[one] / weights[two]


def test_rounding_takes_nothing_from_the_scarcest_subset() -> None:
    assert quotas({"a": 2995, "b": 10**9}, {"a": 0.7, "b": 1})["a"] == 2995
    assert quotas({"a": 100, "b": 1000}, {"a": 0.1, "b": 0.3}) == {"a": 100, "b": 300}


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(1, 50)), unique_by=lambda t: t[0]))
def test_what_is_chosen_depends_on_no_order(texts: list[tuple[int, int]]) -> None:
    def chosen(order: list[tuple[int, int]]) -> set[int]:
        ids, lengths = [i for i, _ in order], [n for _, n in order]
        picks = choose(ids, ["a"] * len(ids), lengths, {"a": 300}, 7)
        assert sum(n for n, pick in zip(lengths, picks, strict=True) if pick) <= 300
        return {i for i, pick in zip(ids, picks, strict=True) if pick}

    assert chosen(texts) == chosen(texts[::-1])

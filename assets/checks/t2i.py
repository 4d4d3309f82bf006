"""Checks of text-to-image curation: scores and embeddings are whole, and what was decided follows them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import catalogue, kept
from infra import storage
from infra.manifest import read_table
from jobs.recipe import Balance

COMPARED = 128
"""Selected pictures whose embeddings are compared with all others, spread evenly over the drop."""

TOLERANCE = 0.02
"""Share of a quota by which a topic that has enough pictures may miss it."""

ROUNDING = 0.005
"""By which the length of a vector of half floats may differ from 1, and a cosine of two."""

_MEASURES = ("entropy", "sharpness", "contrast", "colourfulness", "border", "frame")

Row = dict[str, Any]


def _scores(output: Published) -> Verdict:
    limits, rows = output.settings, kept(output).to_pylist()
    problems = [f"{row['source']}: {problem}" for row in rows for problem in _score_problems(row, limits)]
    problems += [
        f"{row['source']} was rejected as {row['reason']} though it has scores"
        for row in catalogue(output).to_pylist()
        if row["status"] != "kept" and row["width"] is not None
    ]
    return no_problems(problems, f"{len(rows)} pictures, each with {len(_MEASURES)} measures", kept=len(rows))


def _score_problems(row: Row, limits: Any) -> list[str]:
    """What is wrong with the scores of a picture that decodes."""
    missing = [name for name in _MEASURES if row[name] is None or not math.isfinite(row[name])]
    if missing or not row["sha256"] or row["perceptual_hash"] is None or not (row["width"] and row["height"]):
        return [f"no {missing[0] if missing else 'size, checksum or hash'}"]
    problems = []
    if row["bytes"] > limits.max_bytes:
        problems.append(f"{row['bytes']} bytes were decoded, the limit is {limits.max_bytes}")
    if row["width"] * row["height"] > limits.max_pixels:
        problems.append(f"{row['width']}x{row['height']} pixels, the limit is {limits.max_pixels}")
    return problems


def _embeddings(output: Published) -> Verdict:
    wanted = Counter(kept(output)["source"].to_pylist())
    found: Counter[str] = Counter()
    widths: set[int] = set()
    problems: list[str] = []
    for source, vector, aesthetic in _stored(output.folder, output.manifest.paths(".embeddings.parquet")):
        found[source] += 1
        widths.add(len(vector))
        length = float(np.linalg.norm(vector))
        if not abs(length - 1) <= ROUNDING:
            problems.append(f"{source}: its embedding has length {length:.4g}")
        if not math.isfinite(aesthetic):
            problems.append(f"{source}: its aesthetic score is {aesthetic}")
    if found != wanted:
        problems.append(f"{wanted.total()} pictures, {found.total()} embeddings of {len(found)} of them")
    if len(widths) > 1:
        problems.append(f"embeddings have widths {sorted(widths)}")
    return no_problems(problems, f"{found.total()} embeddings, one a picture", embeddings=found.total())


def _stored(folder: str, paths: Sequence[str]) -> Iterator[tuple[str, npt.NDArray[np.float32], float]]:
    """Source, vector and aesthetic score of each row of files of embeddings."""
    for path in paths:
        table = read_table(storage.join(folder, path), ["source", "embedding", "aesthetic"])
        for row in table.to_pylist():
            yield row["source"], np.frombuffer(row["embedding"], "<f2").astype(np.float32), row["aesthetic"]


def _selection(output: Published) -> Verdict:
    selection, rows = output.settings.selection, kept(output).to_pylist()
    problems = [
        f"{row['source']} was kept with an aesthetic score of {row['aesthetic']:.4g}"
        for row in rows
        if selection.min_aesthetic is not None and row["aesthetic"] < selection.min_aesthetic
    ]
    if selection.min_similarity is not None:
        problems += _alike(output, [row["source"] for row in rows], selection.min_similarity)
    return no_problems(problems, f"{len(rows)} pictures stay, as the thresholds say", kept=len(rows))


def _alike(output: Published, sources: list[str], limit: float) -> list[str]:
    """Kept pictures that mean the same as another: some of them, spread evenly, compared with all."""
    (folder,) = output.inputs["t2i/embedded"]
    (manifest,) = output.input_manifests("t2i/embedded")
    paths = manifest.paths(".embeddings.parquet")
    chosen, every = set(sources[:: max(1, -(-len(sources) // COMPARED))]), set(sources)
    vectors = {source: vector for source, vector, _ in _stored(folder, paths) if source in chosen}
    return [
        f"{source} and {other} were both kept, nearer than {limit:g}"
        for source, vector, _ in _stored(folder, paths)
        if source in every
        for other, its in vectors.items()
        if other != source and float(vector @ its) > limit + ROUNDING
    ]


def _topics(output: Published) -> Verdict:
    topics = output.settings.topics
    known = {*topics.taxonomy, topics.other}
    found = Counter(kept(output)["topic"].to_pylist())
    problems = [f"{n} pictures have topic {topic!r}" for topic, n in found.items() if topic not in known]
    return no_problems(problems, f"{found.total()} pictures in {len(found)} topics", topics=len(found))


def _share(output: Published) -> Verdict:
    topics = Counter(kept(output)["topic"].to_pylist())
    total = sum(topics.values())
    largest, number = topics.most_common(1)[0] if topics else ("", 0)
    share = number / total if total else 0.0
    limit = output.settings.balance.max_share
    # A share below 1 / topics cannot be had; the job then removes nothing and says so.
    possible = limit * len(topics) >= 1
    problems = []
    if possible and share > limit + 1e-9:
        problems.append(f"topic {largest!r} has {share:.1%}, the limit is {limit:.1%}")
    return no_problems(problems, f"the largest topic has {share:.1%}", largest_share=share, limit=limit)


def _quotas(output: Published) -> Verdict:
    available = Counter(catalogue(output)["topic"].to_pylist())
    found = Counter(kept(output)["topic"].to_pylist())
    quotas: dict[str, dict[str, int]] = output.manifest.metadata["quotas"]
    problems = [
        f"topic {topic!r}: {found[topic]} kept of {available[topic]}, its record says {row}"
        for topic, row in quotas.items()
        if (found[topic], available[topic]) != (row["kept"], row["available"])
    ]
    problems += [
        f"topic {topic!r} kept {row['kept']}, its quota is {row['quota']} of {row['available']}"
        for topic, row in quotas.items()
        if abs(row["kept"] - min(row["quota"], row["available"])) > TOLERANCE * row["quota"]
    ]
    problems += [f"topic {topic!r} has no quota on record" for topic in available if topic not in quotas]
    problems += _off_target({topic: row["quota"] for topic, row in quotas.items()}, output.settings.balance)
    short = sum(row["short"] for row in quotas.values())
    fine = f"{len(quotas)} topics keep their quotas, {short} pictures short"
    return no_problems(problems, fine, topics=len(quotas), short=short)


def _off_target(quotas: dict[str, int], balance: Balance) -> list[str]:
    """Quotas that are not what the target's weights share out, to a picture."""
    if balance.target is None:
        return []
    weights = dict.fromkeys(quotas, 1.0) if balance.target == "even" else balance.target
    whole, total = sum(weights.values()), sum(quotas.values())
    ideal = {topic: total * weights.get(topic, 0.0) / whole for topic in quotas}
    return [
        f"topic {topic!r} has a quota of {quota}, its weight says {ideal[topic]:.1f}"
        for topic, quota in quotas.items()
        if abs(quota - ideal[topic]) > 1
    ]


def _captions(output: Published) -> Verdict:
    limits, rows = output.settings.captions, kept(output).to_pylist()
    problems = [
        f"{row['source']}: a caption of {len(row['text'] or '')} characters"
        for row in rows
        if not limits.min_characters <= len(row["text"] or "") <= limits.max_characters
    ]
    return no_problems(problems, f"{len(rows)} captions within their limits", captions=len(rows))


SCORES = Check("scores_whole", "Every picture that decodes has all scores, within the limits.", _scores)
EMBEDDINGS = Check("embeddings_whole", "Every picture has one embedding, of length one.", _embeddings)
SELECTION = Check("selection_holds", "Looks and meaning of what was kept satisfy the thresholds.", _selection)
TOPICS = Check("topics_known", "Every kept record has a topic of the recipe.", _topics)
TOPIC_SHARE = Check("topic_share", "No topic exceeds its share of what is kept.", _share)
QUOTAS = Check("quotas_kept", "Topics keep their quotas, or all they have.", _quotas)
CAPTIONS = Check("captions_within_limits", "Published captions have the length asked for.", _captions)

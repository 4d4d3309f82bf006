"""Edits of scenes whose fate is known, in UniWorld's schema, and a judge who looks at the pictures."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from PIL import Image
from vlm.server import Answer, Seen

from jobs.recipe.sources import UniWorldSource
from jobs.scenes.draw import draw, png_bytes
from jobs.scenes.editing.edit import SceneEdit
from jobs.scenes.edits import sample_edit
from jobs.scenes.truth import truth_of
from jobs.scenes.verify import verify
from jobs.scenes.world import sample_scene

REASONS = {
    "nothing": "unchanged",
    "color": "bad_edit",
    "shape": "bad_edit",
    "scene": "bad_edit",
    "size": "size_mismatch",
}
"""What should become of an edit that was spoilt in a way."""

WAYS = (*REASONS, "")


@dataclass(frozen=True)
class Planted:
    """One record: its edit, how it was spoilt ("" if it was not), and its pictures."""

    edit: SceneEdit
    way: str
    before: bytes
    after: bytes

    @property
    def fate(self) -> str:
        """The reason it should be rejected for; empty where it should stay."""
        return REASONS.get(self.way, "")


def plant(indices: Iterable[int], ways: Callable[[int], str], size: int = 64) -> list[Planted]:
    """Edits of the world 11. A way that an edit has no mistake of is `scene` instead."""
    found = []
    for index in indices:
        edit, way = sample_edit(11, index), ways(index)
        if way in ("color", "shape") and way not in edit.mistakes:
            way = "scene"
        after = _after(edit, way, size)
        found.append(Planted(edit, way, png_bytes(edit.picture_before(size)), png_bytes(after)))
    return found


def write_uniworld(
    folder: Path, subsets: Mapping[str, list[Planted]], shard_records: int = 100
) -> UniWorldSource:
    """The edits as UniWorld-V1 lays them out, one JSON file for each subset."""
    lines = []
    for name, planted in subsets.items():
        pictures = folder / "data" / name
        pictures.mkdir(parents=True)
        records = [_record(number, one, pictures) for number, one in enumerate(planted)]
        (folder / "json").mkdir(exist_ok=True)
        (folder / "json" / f"{name}.json").write_text(json.dumps(records))
        lines.append(f"data/{name},json/{name}.json,true")
    (folder / "data.txt").write_text("\n".join(lines))
    return UniWorldSource(uri=str(folder), shard_records=shard_records)


def looking_judge(planted: Iterable[Planted]) -> Callable[[Seen], Answer]:
    """A model that knows what instructions mean, and judges by what is to be seen in the two pictures."""
    meanings: dict[str, list[SceneEdit]] = {}
    for one in planted:
        meanings.setdefault(one.edit.instruction, []).append(one.edit)

    def answer(seen: Seen) -> Answer:
        instruction = seen.text.partition("<<<\n")[2].partition("\n>>>")[0]
        if seen.answer == "EditTask":
            return {"task": meanings[instruction][0].task}
        before, after = (Image.open(io.BytesIO(data)) for data in seen.pictures)
        asked = next(edit for edit in meanings[instruction] if verify(before, truth_of(edit.before)).passed)
        result = verify(after, asked.truth)
        score = 10 if result.passed else int(6 * result.score)
        return {"reason": f"{result.score:.0%} of it is seen", "score": score, "follows": result.passed}

    return answer


def precision_and_recall(
    expected: Mapping[str, str], found: Mapping[str, str]
) -> dict[str, tuple[float, float]]:
    """Precision and recall of each reason, printed; keys are records."""
    assert expected.keys() == found.keys()
    right = Counter(reason for key, reason in found.items() if expected[key] == reason)
    given, true = Counter(found.values()), Counter(expected.values())
    table = {
        reason: (right[reason] / max(1, given[reason]), right[reason] / max(1, true[reason]))
        for reason in sorted(given | true)
    }
    for reason, (precision, recall) in table.items():
        print(f"{reason or 'kept':16} precision {precision:.3f} recall {recall:.3f} of {true[reason]}")
    return table


def _after(edit: SceneEdit, way: str, size: int) -> Image.Image:
    if way == "nothing":
        return edit.picture_before(size)
    if way == "size":
        return edit.picture_after(size).resize((size * 3 // 2, size))
    if way == "scene":
        kinds = {shape.kind for scene in (edit.before, edit.after) for shape in scene.shapes}
        scenes = (sample_scene(5, number) for number in count(len(edit.instruction)))
        return draw(next(s for s in scenes if kinds.isdisjoint(shape.kind for shape in s.shapes)), size)
    return draw(edit.mistakes[way], size) if way else edit.picture_after(size)


def _record(number: int, one: Planted, folder: Path) -> dict[str, Any]:
    names = [f"{number}_{side}.png" for side in ("before", "after")]
    for name, data in zip(names, (one.before, one.after), strict=True):
        (folder / name).write_bytes(data)
    turns = [
        {"from": "human", "value": f"<image>\n{one.edit.instruction}"},
        {"from": "gpt", "value": "<gen_image>"},
    ]
    return {"image": names, "conversations": turns}

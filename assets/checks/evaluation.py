"""Checks of an evaluation: every prompt was sampled as the recipe says, and every picture is there."""

from __future__ import annotations

from collections import Counter

from assets.checks import Check, Published, Verdict, no_problems

SCORES = "data/scores.parquet"


def _samples(output: Published) -> Verdict:
    evaluation = output.settings.evaluation
    rows = output.table(SCORES, ["prompt", "sample", "path"]).to_pylist()
    published = set(output.manifest.paths(".png"))
    samples = Counter(row["prompt"] for row in rows)
    problems = [
        f"{prompt!r} has {number} samples, the recipe says {evaluation.samples_per_prompt}"
        for prompt, number in samples.items()
        if number != evaluation.samples_per_prompt
    ]
    if not rows:
        problems.append("nothing was sampled")
    if evaluation.prompts != "scenes" and set(samples) != set(evaluation.prompts):
        problems.append(f"{len(samples)} prompts were sampled, the recipe has {len(evaluation.prompts)}")
    problems += [f"{row['path']} is not published" for row in rows if row["path"] not in published]
    return no_problems(problems, f"{len(rows)} pictures of {len(samples)} prompts", pictures=len(rows))


SAMPLES = Check("every_prompt", "Every prompt has its samples, and every picture is published.", _samples)

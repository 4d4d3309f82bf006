"""The job `t2i/scored` over a folder of pictures: `python bench/peers/scored_job.py FOLDER OUTPUT`."""

from __future__ import annotations

import sys

from infra.job import JobSpec
from infra.manifest import Output
from infra.reporter import SilentReporter
from jobs.curate.t2i.score import run
from jobs.recipe import FolderSource
from jobs.sources.discover import list_shards
from jobs.sources.shards import publish_shards
from jobs.specs.t2i import ScoreSettings


def main() -> None:
    """List the folder as one drop, and score it."""
    folder, output = sys.argv[1:]
    source = FolderSource(uri=folder, drop_shards=1_000)
    publish_shards(Output(f"{output}/raw"), list_shards("t2i", source))
    settings = ScoreSettings(source=source, max_bytes=50_000_000, max_pixels=100_000_000)
    spec = JobSpec(
        asset="t2i/scored",
        partition="t2i-0000",
        fingerprint="0" * 16,
        inputs={"raw/t2i": [f"{output}/raw"]},
        output=f"{output}/scored",
        settings=settings,
    )
    run(spec, SilentReporter())


if __name__ == "__main__":
    main()

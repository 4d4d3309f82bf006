"""edit/synthetic as one call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.job import JobSpec, Resources
from infra.manifest import Manifest
from infra.reporter import SilentReporter
from jobs.curate.edit import synthetic
from jobs.specs.synthetic import SyntheticSettings

Make = Callable[..., tuple[str, Manifest]]


@pytest.fixture(scope="session")
def make(ray_session: None) -> Make:
    """Run edit/synthetic over a captioned folder: its output folder and manifest."""

    def run(captioned: str, folder: Path, told: SyntheticSettings, workers: int = 2) -> tuple[str, Manifest]:
        spec = JobSpec[SyntheticSettings](
            asset="edit/synthetic",
            partition="t2i-0000",
            fingerprint="f",
            seed=7,
            inputs={"t2i/captioned": [captioned]},
            output=str(folder),
            settings=told,
            resources=Resources(workers=workers),
        )
        return str(folder), synthetic.run(spec, SilentReporter())

    return run

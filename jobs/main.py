"""How a job starts on a cluster: `python -m jobs.main --job jobs.curate.t2i.filter:run --spec URI`.

The spec is the JSON of the job's JobSpec. Progress goes to standard output as messages
(`infra.messages`); the result is the manifest in the spec's output folder.
"""

from __future__ import annotations

import argparse
import sys

from infra import storage
from infra.errors import UserError
from infra.job import load_job, spec_type
from infra.messages import MessageReporter


def main(arguments: list[str] | None = None) -> int:
    """Run one job; 0 if its manifest is published, 2 if a user has to mend something."""
    parser = argparse.ArgumentParser(prog="jobs.main", description=__doc__)
    parser.add_argument("--job", required=True, help="package.module:function")
    parser.add_argument("--spec", required=True, help="URI of the spec, JSON")
    options = parser.parse_args(arguments)
    report = MessageReporter(sys.stdout)
    try:
        job = load_job(options.job)
        spec = spec_type(job).model_validate_json(storage.read_bytes(options.spec))
        job(spec, report)
    except UserError as error:
        report.error(error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

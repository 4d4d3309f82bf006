"""Where a project lives, from arguments and the environment.

`NEXTSCALE_HOME` is the folder or `s3://` prefix that everything is published under; `NEXTSCALE_RECIPE` the
recipe that Dagster draws the graph of. Dagster's own records (runs, events) go to `<home>/dagster`, or
for an `s3://` home to this user's state folder; `DAGSTER_HOME` overrides that.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from infra.errors import UserError
from infra.storage import is_remote

HOME_VARIABLE = "NEXTSCALE_HOME"
RECIPE_VARIABLE = "NEXTSCALE_RECIPE"
DAGSTER_VARIABLE = "DAGSTER_HOME"
DEFAULT_HOME = ".nextscale"

_DAGSTER_YAML = """\
# Written once; edit it as you like. Events and runs are kept in SQLite beside this file.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    # Runs in one pool ("cores", "gpu") go one after the other; the UI can raise a pool's own limit.
    default_limit: 1
    granularity: run
  runs:
    tag_concurrency_limits:
      # Of the runs that carry this tag, one of each kind at a time.
      - key: nextscale/alone
        value:
          applyLimitPerUniqueValue: true
        limit: 1
run_monitoring:
  enabled: true
  # For pools that count single steps (granularity: op): what a killed run held is free after so long.
  free_slots_after_run_end_seconds: 60
"""


def resolve_home(home: str | None = None) -> str:
    """The project's home: the argument, else the environment, else `.nextscale`; never relative."""
    chosen = home or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME
    return chosen.rstrip("/") if is_remote(chosen) else os.path.abspath(os.path.expanduser(chosen))


def dagster_home(home: str) -> str:
    """The local folder of Dagster's records for a resolved home."""
    if chosen := os.environ.get(DAGSTER_VARIABLE):
        return os.path.abspath(os.path.expanduser(chosen))
    if not is_remote(home):
        return str(Path(home) / "dagster")
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return str(state / "nextscale" / hashlib.sha256(home.encode()).hexdigest()[:16])


def prepare_dagster_home(home: str) -> str:
    """Make the folder of Dagster's records; return it, for `DagsterInstance.from_config` or DAGSTER_HOME.

    Raises:
        UserError: it cannot be written.
    """
    folder = Path(dagster_home(home))
    config = folder / "dagster.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not config.exists():
            config.write_text(_DAGSTER_YAML)
    except OSError as error:
        mend = "Choose another --home, or free space"
        raise UserError(f"cannot be written ({error.strerror})", str(folder), mend) from error
    return str(folder)

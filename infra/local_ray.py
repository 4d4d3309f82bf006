"""One local Ray for a whole run, started when the first job needs it."""

from __future__ import annotations

import os


def ensure_ray() -> None:
    """Connect to the Ray this process already uses, or to `RAY_ADDRESS`, or start a local one.

    A local Ray listens on loopback only and shares the cores of this machine.
    """
    import ray

    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS")
    # The variables are read by the processes Ray starts: quieter logs, no usage reports.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Otherwise what runs out of memory is tried again for ever.
    os.environ.setdefault("RAY_task_oom_retries", "4")
    if address:
        ray.init(address=address, log_to_driver=False, logging_level="error")
        return
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        _node_ip_address="127.0.0.1",
    )

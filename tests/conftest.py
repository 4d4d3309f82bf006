"""Real parts that several tests share: one local Ray, and an S3 server on loopback."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Test processes share the cores, and more threads than cores wait for each other. Read when torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No timed assertions: a busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray with two cores for the whole test session."""
    import ray

    from infra.local_ray import ensure_ray

    ensure_ray()
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a real S3 server on loopback (moto's)."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_root(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh bucket as `s3://name`, with the environment set so that every process reaches it."""
    import boto3
    from s3fs import S3FileSystem

    # Instances are kept by their arguments; one that was made in another environment must not serve here.
    S3FileSystem.clear_instance_cache()
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}"

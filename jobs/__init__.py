"""What Ray runs: each job is `run(spec, report) -> Manifest`. Imports `model` and `infra`."""

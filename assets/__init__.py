"""What exists: Dagster assets, checks, partitions and the pictures the UI shows."""

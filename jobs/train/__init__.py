"""Training the transformer, stage by stage: Ray Train runs the workers, DeepSpeed shards the optimizer."""

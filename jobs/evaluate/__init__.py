"""Evaluation: fixed prompts sampled from a trained model and, where the truth is known, scored."""

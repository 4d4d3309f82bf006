"""Extraction: curated documents into text ids and code indices, once, before training."""

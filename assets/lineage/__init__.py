"""Lineage: from a record of a source to the checkpoints that saw it, and back. Only looks.

Everything is read from what stages publish anyway: manifests and catalogues. Nothing is indexed beside them,
so nothing can fall behind.
"""

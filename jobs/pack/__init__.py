"""Packing: documents into rows of equal compute, each exactly once, in an order that the seed decides."""

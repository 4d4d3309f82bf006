"""Curation of subject pairs: scored, embedded, grouped, candidates, confirmed (paper 5.3.2).

Up to `grouped` a record is a picture; from `candidates` on it is a pair of pictures of one group.
"""

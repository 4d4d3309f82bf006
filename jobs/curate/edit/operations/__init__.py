"""How edits are made from curated pictures: of scenes, of cut-out objects, and of whole pictures."""

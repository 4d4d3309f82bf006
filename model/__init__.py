"""Tokenizer, transformer, loss and sampling in plain torch. Imports nothing else of ours."""

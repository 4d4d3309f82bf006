"""The command `nextscale`."""

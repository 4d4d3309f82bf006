"""What runs together, and when: Dagster definitions, recipes and the command line."""

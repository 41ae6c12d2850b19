"""Tasks that only timing across modalities solves."""

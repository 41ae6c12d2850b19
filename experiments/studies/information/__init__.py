"""What modalities tell of the class and of each other, and what each path of a model causes."""

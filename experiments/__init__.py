"""Running experiments: configuration, training, evaluation, comparison, command line."""

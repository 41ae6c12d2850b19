"""From a configuration to batches of paired samples, split without leaks."""

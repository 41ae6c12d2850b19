"""Dense baselines: tuned, trained and compared at equal footing."""

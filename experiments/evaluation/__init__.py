"""What a trained model does on test data: answers, counts, energy, latency, result.json."""

"""Energy and latency against the temporal resolution that an answer needs."""

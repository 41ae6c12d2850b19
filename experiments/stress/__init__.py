"""`spikefuse stress`: frozen models on damaged test inputs."""

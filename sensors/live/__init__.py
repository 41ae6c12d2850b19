"""Sensors while they run: sources of event chunks, and sinks for what is made of them."""

"""A trained run on streams: sources, buffer, runner, sinks, and what they did."""

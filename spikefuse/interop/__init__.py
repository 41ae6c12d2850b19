"""Conversion to and from other libraries, and their networks as encoders; all imported lazily."""

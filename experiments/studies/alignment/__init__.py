"""Alignment of the modalities' spaces: digits and scenes."""

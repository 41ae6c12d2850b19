"""The table of results: families, data sets, profiles, seeds."""

"""Many runs: grids, searches, a cluster, and an index of what they gave."""

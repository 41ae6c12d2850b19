"""The public operations on a GPU: the same arguments as the parts of the host that they replace.

`registry.twin` calls them; shapes are ``[T, B, N]`` here and rows in the modules below.
"""

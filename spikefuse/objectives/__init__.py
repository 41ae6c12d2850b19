"""What training minimises beside, or instead of, the loss of the right class."""

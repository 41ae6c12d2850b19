"""The parts of the command line, one group a file."""

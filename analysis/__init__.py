"""From run directories to figures, tables and a report."""

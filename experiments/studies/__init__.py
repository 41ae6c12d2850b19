"""Resumable studies, each writing the tables of one page of docs."""

"""Samples in memory (head: one table of columns a metric), what rules demand of it, and SQLite for restarts."""

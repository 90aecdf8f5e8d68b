"""A unit test in promtool's format out of an episode: a bad night becomes a regression test."""

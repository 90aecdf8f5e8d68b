"""The tests. They mirror `rulepush`."""

from hypothesis import settings

# Hypothesis lets a test fail that takes 0.2 s once, as any does on a busy machine. What must be quick says so itself.
settings.register_profile("rulepush", deadline=None)
settings.load_profile("rulepush")

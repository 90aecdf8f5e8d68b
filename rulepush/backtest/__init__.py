"""Backtest: what rules would have done with samples that are recorded."""

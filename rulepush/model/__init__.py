"""The vocabulary of every other package: labels, matchers, samples, times. Imports nothing else of rulepush."""

"""The vocabulary of every other package: labels, matchers, samples, times. Imports nothing of ours."""

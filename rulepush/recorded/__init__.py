"""The recording: every sample of every scrape, push and remote write, kept on disk for a day or so, and what happened
meanwhile, in the order in which it happened. Not to be confused with recording rules.
"""

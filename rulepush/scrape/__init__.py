"""Scraping: targets, loops on the shared grid, and the cache that makes a body seen before cheap."""

"""The HTTP side: API v1, lifecycle endpoints, pages, TLS and passwords."""

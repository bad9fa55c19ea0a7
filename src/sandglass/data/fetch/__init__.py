"""Data sets from where they are published: files by ranges, single members out of remote archives."""

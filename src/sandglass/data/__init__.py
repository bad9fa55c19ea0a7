"""Data: files and drawn people in, samples and batches out. Reading and drawing need no torch."""

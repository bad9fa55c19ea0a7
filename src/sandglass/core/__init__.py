"""Nouns that every floor shares: skeletons, people, poses, geometry, photographs. NumPy and OpenCV, no torch."""

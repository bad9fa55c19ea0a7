"""What people and predictions are worth to each other: OKS, AP, PCK, intervals. Image pixels; NumPy, no torch."""

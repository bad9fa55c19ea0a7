"""From photographs and boxes to poses: the one way, for evaluation and for users."""

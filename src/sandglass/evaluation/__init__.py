"""What a model is worth: predictions held against labels by a named protocol, and how sure that is."""

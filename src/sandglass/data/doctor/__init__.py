"""What is wrong with a data set: its file, its photographs, its bodies, its sides. Image pixels; needs no torch."""

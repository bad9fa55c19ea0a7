"""How a drawn person comes about: bones, flesh, looks, scenery, canvas, and the annotator who labels the result."""

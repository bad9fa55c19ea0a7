"""Pictures: skeletons over photographs, heatmaps of every stack, charts of a run. OpenCV and matplotlib, no torch."""

"""Networks, the codec between keypoints and heatmaps, and the one file that holds a trained model."""

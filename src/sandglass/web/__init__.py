"""The page and the HTTP API of `sandglass serve`: photographs come in by HTTP, poses and heatmaps go out."""

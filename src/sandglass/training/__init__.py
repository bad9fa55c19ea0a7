"""From a recipe and people to a trained model: one loop, its loss, its schedule, its journal, its state."""

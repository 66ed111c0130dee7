"""Evidence on real pretrained weights: models and texts that are fetched, and what the dense model
can do. README.md has the commands."""

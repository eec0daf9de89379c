"""The trainer and what it stands on, in reading order: recipe, optim, averaging, run, checkpoint,
trainer. The recipe and the run folder never import PyTorch."""

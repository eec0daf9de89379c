"""The trainer and what it stands on, in reading order: recipe, settings, optim, averaging, run,
checkpoint, pace, state, trainer, session. The recipe and the run folder never import PyTorch."""

"""Transfer: what to make of pretrained weights, decided from the user's own data.

A probe is the cheapest use of a pretrained network: its features, and a linear classifier on them.
Neighbours and class means are cheaper companions; the domain says how far the images are from those
that the weights were trained on, and a learning curve what more images would bring.
"""

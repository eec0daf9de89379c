"""The zoo: every network of the road from AlexNet to ConvNeXt, one file a family.

Names, cards and specs live in `variants/`, which never imports PyTorch, so that listing the zoo is
instant; the networks themselves live in a file a family, imported when one of them is built.
"""

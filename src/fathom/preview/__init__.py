"""What a network will be shown in training: pictures drawn by the very code that trains.

sheet = preview("photos/", recipe="strikes_back_a2")
draw(sheet).save("augment.png")
"""

from fathom.preview.draw import draw
from fathom.preview.looks import Look
from fathom.preview.sheet import Row, Sheet, preview

__all__ = ["Look", "Row", "Sheet", "draw", "preview"]

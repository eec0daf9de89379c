"""Pictures on a page: they travel in it, so that nothing is asked for again."""

from __future__ import annotations

import base64
import io
from typing import Any

from dash import html

from fathom.data.decode import Pixels
from fathom.data.views import to_image


def photo(pixels: Pixels, alt: str, *caption: Any, shrink: int = 1) -> Any:
    """(H, W, C) uint8 as a figure, with a text for those who do not see it, and what stands below.

    shrink: the whole number of pixels, each way, that become one.
    """
    return html.Figure([image(pixels, alt, shrink=shrink), html.Figcaption(list(caption))])


def image(pixels: Pixels, alt: str, *, shrink: int = 1) -> Any:
    """(H, W, C) uint8 as an image alone."""
    file = io.BytesIO()
    to_image(pixels).reduce(shrink).save(file, "JPEG", quality=90, subsampling=0)
    text = base64.b64encode(file.getvalue()).decode()
    return html.Img(src=f"data:image/jpeg;base64,{text}", alt=alt)

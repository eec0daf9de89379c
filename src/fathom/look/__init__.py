"""Looking inside a network: what its first filters, its maps and its answer are made of.

    subject   the network that is looked into: a run's, or pretrained weights; pictures for it
    maps      first-layer filters, feature maps, and what a unit sees of the picture
    patches   the parts of many pictures that excite a channel most
    project   one activation back to the pixels (Zeiler and Fergus 2013)
    attend    which places speak for a class (Grad-CAM, Selvaraju et al. 2017)
    occlude   what the answer becomes where a square hides the picture (Zeiler and Fergus 2013)
    paint     any of these as pixels
    sheet     all of them for one picture
    draw      a sheet as one picture

Nothing here changes the network: no weight, no gradient, no mode, no hook stays.
"""

from fathom.look.attend import Attention, grad_cam
from fathom.look.maps import feature_maps, first_filters, stage_fields
from fathom.look.occlude import Occlusion, occlude
from fathom.look.patches import Patch, exciting_patches
from fathom.look.project import Projection, project

__all__ = [
    "Attention",
    "Occlusion",
    "Patch",
    "Projection",
    "exciting_patches",
    "feature_maps",
    "first_filters",
    "grad_cam",
    "occlude",
    "project",
    "stage_fields",
]

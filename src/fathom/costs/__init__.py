"""What any network costs: parameters, multiply-adds, activations, receptive fields.

    fathom.cost(model, image_size=224)

counts on the meta device, without memory or arithmetic, for any module: ours, torchvision's, timm's
or your own. MACs are multiply-adds of convolutions and matrix products; FLOPs are 2 x MACs. Norms,
activations and pooling are left out of both, as in the papers' own tables.
"""

from fathom.costs.count import Cost, LayerCost, cost
from fathom.costs.field import Field

__all__ = ["Cost", "Field", "LayerCost", "cost"]

"""Plotly figures from values and dataclasses of lower layers; the only place that draws."""

from fathom.figures.draw import draw as draw
from fathom.figures.paper import BLUE as BLUE
from fathom.figures.paper import GREY as GREY
from fathom.figures.paper import LONGEST_LABEL as LONGEST_LABEL
from fathom.figures.paper import ORANGE as ORANGE
from fathom.figures.runs import confusion_matrix as confusion_matrix
from fathom.figures.runs import effective_receptive_field as effective_receptive_field
from fathom.figures.runs import gains as gains
from fathom.figures.runs import learning_rate as learning_rate
from fathom.figures.runs import loss_curves as loss_curves
from fathom.figures.runs import most_mistaken as most_mistaken
from fathom.figures.runs import reliability as reliability
from fathom.figures.runs import step_losses as step_losses
from fathom.figures.runs import throughput as throughput
from fathom.figures.runs import top1_curves as top1_curves

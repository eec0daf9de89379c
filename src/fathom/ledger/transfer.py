"""Transfer: what to train of a pretrained network, and how much the recipe matters."""

from __future__ import annotations

from fathom.ledger.claim import Claim, awaiting

CLAIMS = (
    Claim(
        "transfer.probe",
        "experiment",
        "With little data of a similar kind, freeze the network and train a new head only",
        {},
        awaiting(
            "It will compare a trained head on frozen features with fine-tuning and with training "
            "from scratch, on few images of a kind that ImageNet has, over several seeds.",
            "a recorded run of Fathom, still to come",
        ),
    ),
    Claim(
        "transfer.different_domain",
        "experiment",
        "With little data of another kind, features from ImageNet may not carry over: look for "
        "other pretrained weights, or more data",
        {},
        awaiting(
            "It will repeat the comparison on images that look nothing like photographs.",
            "a recorded run of Fathom, still to come",
        ),
    ),
    Claim(
        "transfer.finetune",
        "experiment",
        "With much data, fine-tune all weights with a learning rate about ten times smaller than "
        "from scratch",
        {"lr_factor": 10},
        awaiting(
            "It will find the best learning rate from pretrained and from fresh weights with "
            "everything else equal, and give the ratio with its spread.",
            "a recorded run of Fathom, still to come",
        ),
    ),
    Claim(
        "methodology",
        "experiment",
        "How a network is trained matters as much as its architecture: the recipe of its time "
        "against a modern one",
        {},
        awaiting(
            "It will train the same networks under both recipes and set the gain of the recipe "
            "beside that of the newer network.",
            "a recorded run of Fathom, still to come",
        ),
    ),
)

"""Transfer: what to train of a pretrained network, and how much the recipe matters."""

from __future__ import annotations

from fathom.ledger.claim import Claim
from fathom.ledger.recorded import by_experiment

CLAIMS = (
    Claim(
        "transfer.probe",
        "experiment",
        "With little data of a similar kind, freeze the network and train a new head only",
        {},
        by_experiment(
            "transfer.probe",
            "transfer",
            "an experiment of Fathom's own",
            "It will compare a trained head on frozen features with fine-tuning and with training "
            "from scratch, on few images of a kind that ImageNet has, over several seeds.",
        ),
    ),
    Claim(
        "transfer.different_domain",
        "experiment",
        "With little data of another kind, features from ImageNet may not carry over: look for "
        "other pretrained weights, or more data",
        {},
        by_experiment(
            "transfer.different_domain",
            "transfer-far",
            "an experiment of Fathom's own",
            "It will repeat the comparison on images that look nothing like photographs.",
        ),
    ),
    Claim(
        "transfer.finetune",
        "experiment",
        "With much data, fine-tune all weights with a learning rate about ten times smaller than "
        "from scratch",
        {"lr_factor": 10},
        by_experiment(
            "transfer.finetune",
            "transfer-rate",
            "an experiment of Fathom's own",
            "It will find the best learning rate from pretrained and from fresh weights with "
            "everything else equal, and give the ratio with its spread.",
        ),
    ),
    Claim(
        "methodology",
        "experiment",
        "How a network is trained matters as much as its architecture: the recipe of its time "
        "against a modern one",
        {},
        by_experiment(
            "methodology",
            "methodology",
            "Liu et al. 2022, arXiv:2201.03545, Section 2.1",
            "It will train the same networks under both recipes and set the gain of the recipe "
            "beside that of the newer network.",
        ),
    ),
)

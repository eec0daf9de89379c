"""What an experiment is going to do, in one file before the first cell. Free of PyTorch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fathom.data.settings import DataSettings
from fathom.data.summary import Summary
from fathom.errors import UserError, require
from fathom.experiments.nouns import Setting
from fathom.training.run import FORMAT, write_json

PLAN = "experiment.json"


@dataclass(frozen=True)
class Plan:
    """An experiment, its setting, and how much of it is done.

    minutes: of all training together. steps: of every trained arm; None until minutes have become
    steps, or where nothing is trained. images: training images used, None for all.
    """

    name: str
    setting: Setting
    seeds: tuple[int, ...]
    minutes: float | None = None
    steps: int | None = None
    images: int | None = None
    command: str | None = None

    def __post_init__(self) -> None:
        require(bool(self.seeds), "seeds is 0; an experiment needs one or more, 3 for a verdict")
        for name, value in (("minutes", self.minutes), ("steps", self.steps)):
            require(value is None or value > 0, f"{name} is {value}; it must be above 0")
        require(
            self.images is None or self.images >= 2 * self.setting.summary.num_classes,
            f"images is {self.images}; use at least two of each of the "
            f"{self.setting.summary.num_classes} classes",
        )

    def write(self, folder: Path) -> None:
        """Store the plan in the folder of the experiment."""
        write_json(folder / PLAN, {"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan of a folder. Raises UserError where there is no whole one."""
        path = folder / PLAN
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            require(
                values.pop("format", None) == FORMAT,
                f"{path} is of another format than this Fathom's ({FORMAT}); use the version that "
                "wrote it",
            )
            setting = values.pop("setting")
            data, summary = DataSettings(**setting.pop("data")), Summary(**setting.pop("summary"))
            return cls(
                **{
                    **values,
                    "setting": Setting(data=data, summary=summary, **setting),
                    "seeds": tuple(values["seeds"]),
                }
            )
        except FileNotFoundError as error:
            raise UserError(
                f"{folder} is no experiment: it has no {PLAN}. Name the folder that `fathom "
                "experiment` printed"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{path} is damaged ({error}); start a new experiment") from error

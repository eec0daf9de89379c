"""Where the images are: the options that `train` and `transfer` share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from fathom.data.settings import DataSettings

DATA_HELP = (
    "A folder of class folders (with train and val or test, or without a split), a zip or tar of "
    "them, a CSV manifest (path,label[,split]), or a built-in set: digits (the default), "
    "fashion-mnist, cifar10, cifar100 and more of torchvision's."
)
_DATA_FIELDS = {"train_data": "train", "val_data": "val", "test_data": "test"}


DATA_GROUP = Group("Data", sort_key=1)


@Parameter(name="*", group=DATA_GROUP)
@dataclass(frozen=True)
class DataOptions:
    """Where the images are.

    Parameters
    ----------
    train_data
        Training images, where they lie apart: a folder or archive of class folders.
    val_data
        Validation images that belong to --train-data.
    test_data
        Test images that belong to --train-data.
    data_dir
        Where downloaded sets lie; by default ~/.cache/fathom.
    val_fraction
        Share of every class to hold out, where the data have no split (0.2 by default).
    on_bad_image
        Files that cannot be used: go on without them (skip), or stop (fail).
    workers
        Processes that decode images which do not fit in memory.
    """

    train_data: str | None = None
    val_data: str | None = None
    test_data: str | None = None
    data_dir: str | None = None
    val_fraction: float | None = None
    on_bad_image: Literal["skip", "fail"] | None = None
    workers: int | None = None

    def settings(self, data: str | None) -> DataSettings:
        """The data that the options and DATA name; digits where they name none."""
        from fathom.data.settings import DataSettings

        apart = any((self.train_data, self.val_data, self.test_data))
        source = data if data is not None or apart else "digits"
        return DataSettings(source=source, **self.given())

    def given(self) -> dict[str, Any]:
        """The options that were given, by their fields of the settings."""
        values = {_DATA_FIELDS.get(name, name): value for name, value in vars(self).items()}
        return {name: value for name, value in values.items() if value is not None}


AS_FOUND = DataOptions()

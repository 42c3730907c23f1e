"""Training: an ensemble of lanes is the normal case, one run is an ensemble of one."""

from toylab.parallel import use_all_cores

use_all_cores()

from toylab.training.api import TrainingInterrupted, train, train_many  # noqa: E402
from toylab.training.run import Run, load  # noqa: E402
from toylab.training.trainer import Trainer  # noqa: E402

__all__ = ["Run", "Trainer", "TrainingInterrupted", "load", "train", "train_many"]

"""Training: an ensemble of lanes is the normal case, one run is an ensemble of one."""

from toylab.training.api import TrainingInterrupted, train, train_many
from toylab.training.run import Run, load
from toylab.training.trainer import Trainer

__all__ = ["Run", "Trainer", "TrainingInterrupted", "load", "train", "train_many"]

"""Training: an ensemble of lanes is the normal case, one run is an ensemble of one."""

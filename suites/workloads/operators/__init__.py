"""Single operators, forward and backward, each beside a float64 evaluation of the same rounded inputs."""

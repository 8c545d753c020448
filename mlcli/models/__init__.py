"""From a model configuration to layers, weight shapes, initial weights and a weights file, without any framework."""

"""A network's weights and activations in eight bits."""
